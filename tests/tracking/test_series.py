"""The series of trackers are those of the metric table."""

from __future__ import annotations

from typing import get_type_hints

from benchmark.records import METRICS
from benchmark.records.schema import EpochRow, PointRow
from benchmark.tracking.series import charted, series


def test_what_changes_from_point_to_point_is_a_series_and_what_does_not_is_none() -> None:
    row = dict.fromkeys(get_type_hints(PointRow), 1.0) | {"stage": "trained"}
    constants = {"total", "params_total", "flops_dense", "bytes_dense", "point", "step", "round"}
    constants |= {"latency_batch", "latency_threads"}
    numbers = {name for name in row if name in METRICS}
    assert {name.rpartition("/")[2] for name in series(row)} == numbers - constants | {"round"}


def test_a_metric_that_is_charted_is_a_field_of_such_rows() -> None:
    for where, fields in (("epoch", get_type_hints(EpochRow)), ("point", get_type_hints(PointRow))):
        named = {name.removesuffix("_pruned") for name, metric in METRICS.items() if where in metric.shown}
        assert named <= fields.keys()
        sections = [METRICS[name].section for name in named]
        assert where == "epoch" or all(sections)
    assert charted("val_top1")
    assert charted("accuracy/val_top1")
    assert not charted("accuracy/top5")
    assert not charted("epoch")
