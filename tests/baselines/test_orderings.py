"""Orderings of the literature that hold at small scale, on digits: they fail where a method lost its point."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.config.options import run_config
from benchmark.records.record import Record
from benchmark.runs.execution import carry_out

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("orderings")


def _accuracy(results: Path, pruner: str) -> float:
    """The mean test top1 over seeds at the last point; finished runs are not run again."""
    found = []
    for seed in SEEDS:
        options = {"seed": seed, "train.epochs": 40, "retrain.epochs": 10, "wandb": "off", "device": "cpu"}
        outcome = carry_out(run_config({**options, "results": results, "pruner": pruner}))
        assert outcome.state == "done", outcome.reason
        found.append(Record(outcome.folder).read_rows("points.jsonl")[-1]["top1"])
    return sum(found) / len(found)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_at_two_percent_random_is_worst_and_iterative_magnitude_at_least_as_good_as_one_shot(results: Path) -> None:
    options = {"magnitude": ", rounds=8", "snip": "", "grasp": "", "synflow": "", "gradual_magnitude": ", every=20"}
    ours = {name: _accuracy(results, f"{name}(sparsity=0.98{more})") for name, more in options.items()}
    random = _accuracy(results, "random(sparsity=0.98)")
    assert random < min(ours.values()), (random, ours)
    assert ours["magnitude"] >= _accuracy(results, "magnitude(sparsity=0.98, rounds=1)") - 0.002, ours


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_at_two_percent_random_masks_do_better_with_erdos_renyi_densities_than_uniform_ones(results: Path) -> None:
    erk, uniform = (_accuracy(results, f"random(sparsity=0.98, distribution='{d}')") for d in ("erk", "uniform"))
    assert erk > uniform


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("method", ["set", "rigl"])
def test_at_five_percent_exchanging_weights_beats_the_random_masks_they_begin_with(results: Path, method: str) -> None:
    static = _accuracy(results, "random(sparsity=0.95, distribution='erk')")
    assert _accuracy(results, f"{method}(sparsity=0.95, every=20)") > static
