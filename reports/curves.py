"""What each method and seed reached in a setting: its points after training, by operating point."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from reports.naming import Label, by_setting, labels
from reports.records import RunRecord
from reports.schema import Point

REFERENCE = "dense"  # the method whose runs are the reference rows
Key = tuple[str, int]  # an operating point: the target asked for, as JSON, and the round
Candidates = list[tuple[RunRecord, Point]]  # points of which there should be one


@dataclass
class Method:
    """A method in a setting: points after training, by operating point and seed; a seed has one of each."""

    label: str
    plain: str  # the label without marks
    name: str
    points: dict[Key, dict[int, Point]] = field(default_factory=dict)
    failed: dict[int, set[str]] = field(default_factory=dict)  # by seed: targets whose run diverged or broke
    seeds: list[int] = field(default_factory=list)

    def of_seed(self, seed: int) -> list[Point]:
        return [points[seed] for points in self.points.values() if seed in points]


@dataclass
class Setting:
    """What was measured under one protocol on one (dataset, network, optimiser)."""

    name: str
    dense: dict[int, Point]  # by seed
    longer: dict[float, dict[int, Point]]  # by epochs in all, and seed: the dense network trained on
    methods: dict[str, Method]  # by label, sorted
    classes: int | None
    problems: list[tuple[str, str]]  # of what, and why: what is ambiguous and so left out
    runs: list[tuple[RunRecord, Label]]  # what it is made of
    drawn_up: dict[Any, Any] = field(default_factory=dict, repr=False)  # curves and what is read of them, made once

    @property
    def test_images(self) -> int | None:
        """How many test images there are; None where records do not say one number."""
        totals = {point.total for point in self.dense.values() if point.total}
        return totals.pop() if len(totals) == 1 else None

    @property
    def resolution(self) -> float:
        """The accuracy of one test image; 0 where records do not say."""
        return 1 / self.test_images if self.test_images else 0.0


def settings_of(runs: list[RunRecord]) -> list[Setting]:
    """The finished runs, and what the failed ones reached, a setting at a time, sorted by name."""
    counted = [run for run in runs if not run.problem or run.failed]
    return [_setting(name, mine) for name, mine in by_setting(counted).items()]


def said(key: Key) -> str:
    """An operating point in words."""
    target = json.loads(key[0])
    return f"round {key[1]}" if target is None else f"target {target}, round {key[1]}"


def curve(setting: Setting, method: Method, seed: int, x: str, y: str = "top1") -> list[tuple[float, float]]:
    """The (x, y) points of a method and seed, with the dense point, sorted; what has no x is left out."""
    key = (method.label, seed, x, y)
    if key not in setting.drawn_up:
        points = [*([setting.dense[seed]] if seed in setting.dense else []), *method.of_seed(seed)]
        setting.drawn_up[key] = sorted((p.value(x), p.value(y)) for p in points if p.value(x) is not None)
    return setting.drawn_up[key]


def _setting(name: str, runs: list[RunRecord]) -> Setting:
    problems: list[tuple[str, str]] = []
    dense: defaultdict[int, Candidates] = defaultdict(list)
    started: defaultdict[int, Candidates] = defaultdict(list)  # what methods say that they started from
    longer: defaultdict[tuple[float, int], Candidates] = defaultdict(list)
    found: defaultdict[tuple[str, Key, int], Candidates] = defaultdict(list)
    methods: dict[str, Method] = {}
    labelled = list(zip(runs, labels(runs), strict=True))
    for run, label in labelled:
        reference = run.config["pruner"] == REFERENCE
        trained = [p for p in run.points if p.stage == "trained"]
        for first in [p for p in trained if p.round == 0][:1]:
            (dense if reference else started)[run.seed].append((run, first))
        later = [p for p in trained if p.round > 0]
        if reference:
            if later and not run.problem:
                longer[later[-1].epochs_total, run.seed].append((run, later[-1]))
            continue
        method = methods.setdefault(label.text, Method(label.text, label.plain, label.method))
        target = json.dumps(label.target)
        method.seeds = sorted({*method.seeds, run.seed})
        if run.problem:
            method.failed.setdefault(run.seed, set()).add(target)
        for point in later:
            found[label.text, (target, point.round), run.seed].append((run, point))
    references: dict[int, Point] = {}
    for seed in sorted({*dense, *started}):
        what = f"the dense network of seed {seed}"
        if point := _only(name, what, dense[seed] or started[seed], problems):
            references[seed] = point
            others = sorted(run.name for run, p in started[seed] if not _same(p, point))
            if others:
                problems.append((", ".join(others), f"did not start from {what}, which is the reference: {name}"))
    for (label, key, seed), candidates in sorted(found.items(), key=lambda item: item[0]):
        what = f"{label}, seed {seed}, {said(key)}"
        if point := _only(name, what, candidates, problems):
            methods[label].points.setdefault(key, {})[seed] = point
    trained_on: dict[float, dict[int, Point]] = {}
    for (epochs, seed), candidates in sorted(longer.items()):
        what = f"the dense network of seed {seed} trained {epochs:g} epochs"
        if point := _only(name, what, candidates, problems):
            trained_on.setdefault(epochs, {})[seed] = point
    classes = next((run.environment.classes for run in runs if run.environment.classes), None)
    ordered = {label: methods[label] for label in sorted(methods)}
    return Setting(name, references, trained_on, ordered, classes, problems, labelled)


def _only(setting: str, what: str, candidates: Candidates, problems: list[tuple[str, str]]) -> Point | None:
    """The one point that there should be; None, and a problem, where runs disagree about it."""
    first = candidates[0][1]
    if all(_same(first, point) for _, point in candidates):
        return first
    said = ", ".join(f"top1 {100 * point.top1:.2f} in {run.name}" for run, point in candidates)
    problems.append((f"{what}: {setting}", f"measured more than once and differently, so none counts: {said}"))
    return None


def _same(a: Point, b: Point) -> bool:
    """Whether two measured networks are one."""
    if a.weights_sha256 and b.weights_sha256:
        return a.weights_sha256 == b.weights_sha256
    return (a.top1, a.val_top1, a.epochs_total) == (b.top1, b.val_top1, b.epochs_total)
