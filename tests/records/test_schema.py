"""The schema is what runs write: no field without a name in it, no number without an entry in the metric table."""

from __future__ import annotations

from typing import get_args

import pytest

from benchmark.records.schema import (
    METRICS,
    EpochRow,
    FiringRow,
    PointRow,
    Shown,
    plotted,
)

NUMBERS = ("int", "float", "bool")


@pytest.mark.parametrize("schema", [EpochRow, PointRow, FiringRow])
def test_every_number_of_a_row_is_in_the_metric_table(schema: type) -> None:
    numbers = {
        name
        for name, kind in schema.__annotations__.items()
        if any(number in str(kind.__forward_arg__).split("[")[-1] for number in NUMBERS) and name != "log_step"
    }
    nested = {"layers", "firing", "flops_unsupported"}
    assert numbers - nested <= METRICS.keys()


def test_a_row_is_plotted_by_the_names_of_the_table() -> None:
    row = {"log_step": 3, "top1": 0.5, "target_sparsity": None, "layers": [], "stage": "trained", "lr": 0.1}
    assert plotted(row, "point") == {"top1": 0.5}
    assert plotted(row, "epoch") == {"lr": 0.1}


def test_every_metric_is_shown_in_known_places_and_labels_are_unlike_where_they_are_shown_together() -> None:
    for place in get_args(Shown):
        labels = [metric.label for metric in METRICS.values() if place in metric.shown]
        assert labels
        assert len(labels) == len(set(labels))
