"""What a page of W&B shows of a real run: few charts, one axis for all methods, numbers that a sweep can compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.config.options import run_config
from benchmark.records.record import Record
from benchmark.runs.execution import carry_out
from benchmark.tracking.comparison import comparison
from tests.tracking.mirrored import make_record
from tests.tracking.wandb_server import Run, WandbServer

pytest_plugins = ["tests.tracking.mirror_fixtures"]

QUICK = {"train.epochs": 3, "retrain.epochs": 2, "train_limit": 200, "device": "cpu"}


@pytest.fixture
def shown(server: WandbServer) -> tuple[Run, Record]:
    """A run of two rounds on W&B, and its record."""
    outcome = carry_out(run_config({**QUICK, "pruner": "magnitude", "pruner.sparsity": 0.75, "pruner.rounds": 2}))
    assert outcome.state == "done"
    (run,) = server.runs.values()
    return run, Record(outcome.folder)


def test_a_page_has_fifteen_charts_in_four_sections(shown: tuple[Run, Record]) -> None:
    sections: dict[str, set[str]] = {}
    for name in shown[0].charts:
        section, _, metric = name.rpartition("/")
        sections.setdefault(section, set()).add(metric)
    assert sections == {
        "": {"train_loss", "val_loss", "val_top1", "lr", "sparsity_prunable"},
        "accuracy": {"top1", "val_top1", "val_top1_pruned"},
        "size": {"compression_params", "speedup_theoretical", "speedup_structural", "layer_density"},
        "cost": {"epochs_total", "train_flops", "train_seconds"},
    }


def test_the_metric_of_the_sweeps_is_logged_at_every_epoch_of_all_rounds(shown: tuple[Run, Record]) -> None:
    run, record = shown
    logged = [(row["epoch"], row["val_top1"]) for row in run.history if "val_top1" in row]
    assert [epoch for epoch, _ in logged] == list(range(1, 3 + 2 * 2 + 1))
    assert logged == [(row["epoch"], pytest.approx(row["val_top1"])) for row in record.read_rows("epochs.jsonl")]
    assert run.summary["val_top1"] == pytest.approx(record.read_rows("points.jsonl")[-1]["val_top1"])


def test_accuracy_stands_against_compression(shown: tuple[Run, Record]) -> None:
    run, record = shown
    metrics: list[dict[str, Any]] = run.raw_config["_wandb"]["value"]["m"]
    axes = {metric["1"]: metrics[metric["5"] - 1]["1"] for metric in metrics if "1" in metric and "5" in metric}
    assert axes["accuracy/top1"] == axes["accuracy/val_top1_pruned"] == "size/compression_params"
    assert (axes["size/speedup_theoretical"], axes["cost/train_flops"], axes["val_top1"]) == ("round", "round", "epoch")
    curve = [(row["size/compression_params"], row["accuracy/top1"]) for row in run.history if "accuracy/top1" in row]
    points = [row for row in record.read_rows("points.jsonl") if row["stage"] == "trained"]
    assert curve == [pytest.approx((row["compression_params"], row["top1"])) for row in points]


def test_the_summary_has_a_number_once_and_the_config_has_the_options_alone(shown: tuple[Run, Record]) -> None:
    run, record = shown
    assert [name for name in run.summary if "/" in name or name == "record"] == ["size/layer_density"]  # not a number
    assert {"params_total", "flops_dense", "bytes_dense"} <= run.summary.keys()
    about = record.read_json("config.json")
    assert run.config.keys() == about["config"].keys()
    assert run.config["pruner"] == "magnitude(rounds=2, sparsity=0.75)"
    assert (run.summary["method"], run.summary["sparsity_asked"]) == ("magnitude", 0.75)
    assert (run.group, run.job_type) == (about["group"], "magnitude")


def _record(results: Path, *points: tuple[int, float, float]) -> Record:
    record = make_record(results, "run", "a" * 16)
    rows = [
        {"log_step": i, "point": i, "round": round, "stage": "trained", "compression_params": size, "val_top1": top1}
        for i, (round, size, top1) in enumerate(points)
    ]
    record.write_rows("points.jsonl", rows)
    return record


def test_the_compression_within_a_drop_ends_where_validation_first_falls_below_it(tmp_path: Path) -> None:
    found = comparison(_record(tmp_path, (0, 1, 0.9), (1, 2, 0.896), (2, 4, 0.885), (3, 8, 0.8), (4, 16, 0.9)))
    within = [found[f"compression_within_{name}"] for name in ("half_point", "1_point", "2_points")]
    assert within == [2, 2, 4]


def test_accuracy_at_a_compression_is_between_measured_points_and_never_beyond(tmp_path: Path) -> None:
    found = comparison(_record(tmp_path, (0, 1, 0.9), (1, 2, 0.8), (2, 8, 0.6)))
    assert (found["val_top1_at_4x"], found["val_top1_at_8x"]) == pytest.approx((0.7, 0.6))
    assert "val_top1_at_16x" not in found


def test_a_method_without_a_dense_training_is_compared_with_the_shared_one_where_there_is_one(tmp_path: Path) -> None:
    record = _record(tmp_path, (1, 4, 0.89))
    assert "compression_within_1_point" not in comparison(record)
    dense = Record(tmp_path / "dense" / ("d" * 16))
    dense.folder.mkdir(parents=True)
    dense.write_json("status.json", {"state": "done"})
    dense.write_rows("epochs.jsonl", [{"val_top1": 0.95}, {"val_top1": 0.895}])
    found = comparison(record)
    assert (found["compression_within_half_point"], found["compression_within_1_point"]) == (4, 4)
