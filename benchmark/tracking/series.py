"""What trackers show of a row: names, which of them are charted and against what. All from the table of metrics.

An epoch's numbers are called as in the record, so that a sweep can name `val_top1`. Those of a measured point have
their section before them, `accuracy/top1`, `size/compression_params`, `cost/train_flops`; of one before its
retraining there are only the accuracies, as `accuracy/val_top1_pruned`. What is the same at every point of a run is
no series: it is in the config or the summary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.records import METRICS, Row

LAYERS = "size/layer_density"  # the densities of all layers at a trained point

COMPRESSION = "size/compression_params"


def series(row: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a row that a run has one after the other, by the names that trackers give them."""
    found = numbers(row)
    if "point" not in row:
        return found
    if row["stage"] == "pruned":
        found = {f"{name}_pruned": v for name, v in found.items() if f"{name}_pruned" in METRICS} | {
            name: v for name, v in found.items() if name == "compression_params"
        }
    return {
        "round": row["round"],
        **{f"{METRICS[name].section}/{name}": v for name, v in found.items() if METRICS[name].section},
    }


def densities(row: Mapping[str, Any]) -> list[float]:
    """The density of each layer at a trained point; of other rows none."""
    trained = row.get("stage") == "trained"
    return [layer["kept"] / layer["total"] for layer in row.get("layers", [])] if trained else []


def charted(name: str) -> bool:
    """Whether a tracker's page shows the series unless it is told otherwise."""
    if name == LAYERS:
        return True
    _, at_point, metric = name.rpartition("/")
    return metric in METRICS and ("point" if at_point else "epoch") in METRICS[metric].shown


def charts(section: str) -> list[str]:
    """The series of a section that are charted of a run of the standard protocol."""
    if not section:
        return [name for name in METRICS if charted(name) and not name.startswith("test_")]
    found = [f"{section}/{name}" for name, metric in METRICS.items() if metric.section == section]
    return [name for name in (*found, *([LAYERS] if section == "size" else [])) if charted(name)]


def axis(name: str) -> str:
    """The series that is the horizontal axis of this one: accuracy stands against compression, so methods overlay."""
    section, at_point, _ = name.rpartition("/")
    if not at_point:
        return "epoch"
    return COMPRESSION if section == "accuracy" else "round"


def numbers(row: Mapping[str, Any]) -> Row:
    """What is a number in a row."""
    return {name: v for name, v in row.items() if isinstance(v, int | float) and name in METRICS}
