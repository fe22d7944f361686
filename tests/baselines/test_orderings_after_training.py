"""Orderings that the papers report, at small scale: a trained LeNet on digits, pruned and not retrained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.config.options import run_config
from benchmark.records.record import Record
from benchmark.runs.execution import carry_out

SEEDS = (0, 1, 2)
SETTING = {"train.epochs": 30, "retrain.epochs": 0, "wandb": "off", "device": "cpu"}


def _mean(method: str, field: str, results: Path, **options: Any) -> float:
    """The mean over seeds of a field of the pruned network's point."""
    values = []
    for seed in SEEDS:
        config = run_config({**SETTING, "pruner": method, "seed": seed, "results": results, **options})
        outcome = carry_out(config)
        assert outcome.state == "done", outcome.reason
        values.append(Record(outcome.folder).read_rows("points.jsonl")[-1][field])
    return sum(values) / len(values)


@pytest.mark.slow
@pytest.mark.parametrize("sparsity", [0.75, 0.9])
def test_without_retraining_sparsegpt_is_below_wanda_and_both_below_magnitude_by_layer_in_loss(
    sparsity: float, tmp_path: Path
) -> None:
    losses = {
        method: _mean(f"{method}(sparsity={sparsity}, {more})", "loss", tmp_path)
        for method, more in (
            ("sparsegpt", "rounds=1"),
            ("wanda", "rounds=1"),
            ("magnitude", "rounds=1, distribution='rows'"),
        )
    }
    assert losses["sparsegpt"] < losses["wanda"] < losses["magnitude"], losses


@pytest.mark.slow
def test_without_retraining_sparsegpt_is_below_magnitude_in_loss_at_two_of_four(tmp_path: Path) -> None:
    repaired, plain = (
        _mean(f"{method}(sparsity=0.5, rounds=1, structure='2:4')", "loss", tmp_path)
        for method in ("sparsegpt", "magnitude")
    )
    assert repaired < plain


@pytest.mark.slow
def test_without_retraining_lamp_is_above_uniform_magnitude_at_high_sparsity(tmp_path: Path) -> None:
    lamp = _mean("lamp(sparsity=0.95, rounds=1)", "val_top1", tmp_path)
    uniform = _mean("magnitude(sparsity=0.95, rounds=1, distribution='uniform')", "val_top1", tmp_path)
    assert lamp > uniform
