"""What one run says of its method in single numbers, all from validation: a sweep may choose by them.

Of one seed: which network counts as the smallest is decided over seeds, by `prunebench report`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, takewhile
from math import log

from benchmark.records import DROPS, Record, Row

WITHIN = dict(zip(("half_point", "1_point", "2_points"), DROPS, strict=True))  # as W&B calls them
RATIOS = (4, 8, 16)  # of compression


def comparison(record: Record) -> Row:
    """Method, asked sparsity, smallest network within a drop, accuracy at a compression; what is unknown is left out.

    `compression_within_1_point` is that of the last trained point, in the order of compression, before validation
    top1 first falls more than that below dense; 1 where there is none. `val_top1_at_4x` is read between the pruned
    points on either side, along the logarithm of compression, and never beyond them.
    """
    about = record.read_json("config.json")
    options = about["config"]
    found: Row = {"method": options["pruner"].rpartition(":")[2]}
    if options.get("pruner.sparsity") is not None:
        found["sparsity_asked"] = options["pruner.sparsity"]
    rows = [row for row in record.read_rows("points.jsonl") if row["stage"] == "trained" and row["compression_params"]]
    points = sorted((row["compression_params"], row["val_top1"]) for row in rows if row["round"] > 0)
    dense = next((row["val_top1"] for row in rows if row["round"] == 0), None) or _shared_dense(record, about)
    if points and dense is not None:
        found |= {f"compression_within_{name}": _within(points, dense - drop) for name, drop in WITHIN.items()}
    at = {f"val_top1_at_{ratio}x": _at(points, ratio) for ratio in RATIOS}
    return found | {name: value for name, value in at.items() if value is not None}


def _within(points: Sequence[tuple[float, float]], least: float) -> float:
    good = list(takewhile(lambda point: point[1] >= least - 1e-9, points))
    return good[-1][0] if good else 1.0


def _at(points: Sequence[tuple[float, float]], ratio: float) -> float | None:
    for (low, below), (high, above) in pairwise(points):
        if low <= ratio <= high:
            share = (log(ratio) - log(low)) / (log(high) - log(low)) if high > low else 1.0
            return below + share * (above - below)
    return None


def _shared_dense(record: Record, about: Row) -> float | None:
    """Validation top1 of the dense training that other methods of the setting share, if it is there and done."""
    dense = Record(record.folder.parents[1] / "dense" / about["dense_key"])
    rows = dense.read_rows("epochs.jsonl") if dense.status.get("state") == "done" else []
    if not rows:
        return None
    best = about["config"].get("select") == "best"
    return max(row["val_top1"] for row in rows) if best else rows[-1]["val_top1"]
