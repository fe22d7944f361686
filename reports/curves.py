"""The curve of each method and seed: its points after training, from dense on."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from reports.records import RunRecord, method_labels, setting_names

Row = dict[str, Any]
REFERENCE = "dense"  # the method whose runs are the reference rows


@dataclass(frozen=True)
class Setting:
    """What was measured on one (dataset, network, optimiser)."""

    name: str
    dense: dict[int, Row]  # by seed: the dense point
    long: dict[float, dict[int, Row]]  # by epochs in all, and seed: the dense network trained on
    methods: dict[str, dict[int, list[Row]]]  # by method and seed: points after training


def settings_of(runs: list[RunRecord]) -> list[Setting]:
    """The finished runs as curves, a setting at a time, sorted by name; methods sorted by label."""
    finished = [run for run in runs if not run.problem]
    names = setting_names(finished)
    found = []
    for name in sorted(set(names.values())):
        mine = [run for run in finished if names[run.name] == name]
        labels = method_labels(mine)
        dense: dict[int, Row] = {}
        long: defaultdict[float, dict[int, Row]] = defaultdict(dict)
        methods: defaultdict[str, defaultdict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
        for run in mine:
            seed = int(run.config["seed"])
            trained = [p for p in run.points if p["stage"] == "trained"]
            first = [p for p in trained if p["round"] == 0]
            if first:
                dense[seed] = first[0]
            later = [p for p in trained if p["round"] > 0]
            if run.config["pruner"] != REFERENCE:
                methods[labels[run.name]][seed] += later
            elif later:
                long[later[-1]["epochs_total"]][seed] = later[-1]
        curves = {m: {s: methods[m][s] for s in sorted(methods[m])} for m in sorted(methods)}
        found.append(Setting(name, dense, dict(long), curves))
    return found


def curve(setting: Setting, method: str, seed: int, x: str, y: str = "top1") -> list[tuple[float, float]]:
    """The (x, y) points of a method and seed, with the dense point, sorted; collapsed points have no x."""
    points = [*([setting.dense[seed]] if seed in setting.dense else []), *setting.methods[method][seed]]
    return sorted((p[x], p[y]) for p in points if p[x])
