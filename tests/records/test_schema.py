"""The schema is what runs write: no field without a name in it, no number without an entry in the metric table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, get_args, get_origin, get_type_hints

import pytest

from benchmark.config.options import run_config
from benchmark.records.record import Record
from benchmark.records.schema import (
    METRICS,
    ConfigFile,
    EnvironmentFile,
    EpochRow,
    FiringRow,
    LayerRow,
    PointRow,
    Shown,
    StatusFile,
)
from benchmark.runs.execution import carry_out

NUMBERS = ("int", "float", "bool")


@pytest.fixture(scope="module", params=["standard", "paper"])
def record(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Record:
    """A run under both protocols: under `paper` epochs have more fields."""
    results = tmp_path_factory.mktemp("results")
    options = {"pruner": "magnitude(rounds=1)", "train.epochs": 1, "retrain.epochs": 1, "train_limit": 200}
    paper = {"protocol": "paper"} if request.param == "paper" else {}
    outcome = carry_out(run_config({**options, **paper, "results": results, "wandb": "off", "device": "cpu"}))
    assert outcome.state == "done"
    return Record(outcome.folder)


def _fits(content: Mapping[str, Any], schema: Any) -> None:
    fields = get_type_hints(schema, include_extras=True)
    optional = set() if schema.__total__ else fields.keys()
    needed = {name for name, kind in fields.items() if get_origin(kind) is not NotRequired} - optional
    assert needed <= content.keys() <= fields.keys()


def test_every_row_and_file_of_a_run_has_the_fields_of_the_schema(record: Record) -> None:
    for row in record.read_rows("epochs.jsonl"):
        _fits(row, EpochRow)
    points = record.read_rows("points.jsonl")
    assert len(points) == 3
    for row in points:
        _fits(row, PointRow)
        for layer in row["layers"]:
            _fits(layer, LayerRow)
        for layer in row.get("firing", ()):
            _fits(layer, FiringRow)
    for name, schema in (("config", ConfigFile), ("environment", EnvironmentFile), ("status", StatusFile)):
        _fits(record.read_json(f"{name}.json"), schema)


@pytest.mark.parametrize("schema", [EpochRow, PointRow, FiringRow])
def test_every_number_of_a_row_is_in_the_metric_table(schema: type) -> None:
    numbers = {
        name
        for name, kind in schema.__annotations__.items()
        if any(number in str(kind.__forward_arg__).split("[")[-1] for number in NUMBERS) and name != "log_step"
    }
    nested = {"layers", "firing", "flops_unsupported"}
    assert numbers - nested <= METRICS.keys()


def test_every_metric_is_shown_in_known_places_and_labels_are_unlike_where_they_are_shown_together() -> None:
    for place in get_args(Shown):
        labels = [metric.label for metric in METRICS.values() if place in metric.shown]
        assert labels
        assert len(labels) == len(set(labels))
