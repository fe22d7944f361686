"""Records made by hand, as typed rows and as the files of a results folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from reports.records import RunRecord
from reports.schema import Environment, Head, Point, Status, checked

CONFIG = {"dataset": "digits", "model": "lenet", "train.optimizer": "adam"}
NAME = "digits · lenet · adam · protocol 2"  # of the setting
FIRING = {"units": 10, "active_share": 0.5, "mean_activation": 1.0, "dead_units": 1, "class_overlap": 0.7}


def point_row(round_: int, compression: float | None, top1: float, **more: Any) -> dict[str, Any]:
    """A row of points.jsonl after training: one ratio for all, validation as good as test."""
    ratios = ["compression_params", "compression_weights", "speedup_theoretical", "speedup_structural"]
    return {
        "round": round_,
        "stage": "trained",
        "top1": top1,
        "val_top1": top1,
        **dict.fromkeys(ratios, compression),
        "sparsity_prunable": 1 - 1 / compression if compression else 1.0,
        "epochs_total": 10 * (round_ + 1),
        "collapsed": False,
        "layers": [{"name": f"fc{i}", "kept": i, "total": 4, "flops_dense": 4} for i in (1, 2)],
        "firing": [{"name": "fc1", **FIRING}],
        **more,
    }


def point(round_: int, compression: float | None, top1: float, **more: Any) -> Point:
    return checked(Point, point_row(round_, compression, top1, **more))


def belongs(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """What the options belong to, as a record says it."""
    kinds = {"run": ("pruner", "retrain.", "score_examples"), "place": ("results", "device")}
    found: dict[str, list[str]] = {"run": [], "dense": [], "place": []}
    for name in config:
        found[next((kind for kind, starts in kinds.items() if name.startswith(starts)), "dense")].append(name)
    return found


def run_record(
    pruner: str,
    seed: int,
    points: Sequence[Point],
    options: Mapping[str, Any] | None = None,
    *,
    state: str = "done",
    reason: str = "",
    protocol: str = "2",
    number: int = 2,
    classes: int = 10,
    differs: Sequence[str] | None = None,
) -> RunRecord:
    config = {**CONFIG, "pruner": pruner, "seed": seed, **(options or {})}
    head = {"protocol": protocol, "protocol_number": number, "belongs": belongs(config), "config": config}
    head["differs"] = None if differs is None else list(differs)
    return RunRecord(
        name=f"{pruner}-{seed}-{options or ''}{protocol}",
        head=checked(Head, head),
        environment=Environment(classes=classes),
        status=Status(state=state, reason=reason),
        points=list(points),
        problem="" if state == "done" else f"{state}: {reason}",
    )


def by(frame: pd.DataFrame, *columns: str) -> Any:
    """The frame with these columns as its index, of which the type checker knows nothing."""
    return frame.set_index(list(columns)) if columns[1:] else frame.set_index(*columns)


def three_seeds() -> list[RunRecord]:
    """Magnitude in three rounds of which the last two lose accuracy."""
    return [
        run_record(
            "magnitude",
            s,
            [point(0, 1, 0.99), point(1, 4, 0.988), point(2, 16, 0.982 - 0.01 * s), point(3, 64, 0.5)],
        )
        for s in range(3)
    ]


def write_run(results: Path, name: str, points: Sequence[dict[str, Any]], **more: Any) -> Path:
    """The folder of a finished run; `more` goes into its configuration, but `id`, `protocol` and `protocol_number`."""
    head: dict[str, Any] = {"protocol": "2", "protocol_number": 2, "id": name}
    head |= {key: more.pop(key) for key in list(more) if key in head}
    config = {**CONFIG, "pruner": "magnitude", "seed": 0, "pruner.sparsity": None, **more}
    head |= {"name": name, "belongs": belongs(config), "config": config}
    folder = results / "runs" / name
    folder.mkdir(parents=True)
    environment = {"commit": "abc", "hardware": {"device": "cpu"}, "data_verified": True, "classes": 10}
    (folder / "config.json").write_text(json.dumps(head))
    (folder / "environment.json").write_text(json.dumps(environment))
    (folder / "status.json").write_text(json.dumps({"state": "done", "reason": "", "stopped_early": None}))
    (folder / "epochs.jsonl").write_text(json.dumps({"epoch": 1, "round": 0, "val_top1": 0.9}) + "\n")
    (folder / "points.jsonl").write_text("".join(json.dumps(row) + "\n" for row in points))
    return folder


def write_results(results: Path, seeds: int = 2) -> None:
    """A dense run, magnitude in three rounds, and snip at two targets, of each seed."""
    for s in range(seeds):
        dense = point_row(0, 1, 0.99 - 0.001 * s)
        rounds = [point_row(r, 4.0**r, 0.99 - 0.004 * r * r - 0.001 * s) for r in (1, 2, 3)]
        write_run(results, f"dense-{s}", [dense], pruner="dense", seed=s)
        write_run(results, f"magnitude-{s}", [dense, *rounds], seed=s)
        for target in (0.5, 0.9):
            row = point_row(1, 1 / (1 - target), 0.98 - 0.02 * target, epochs_total=10)
            write_run(results, f"snip-{target}-{s}", [row], pruner="snip", seed=s, **{"pruner.sparsity": target})
