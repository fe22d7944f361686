"""The runs of a sweep file: W&B's grid, in its order, without a server."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from benchmark.config.discovery import pruner_names
from benchmark.config.yaml_files import read_yaml
from benchmark.errors import UserError
from benchmark.pruning import Prune
from benchmark.sweep.grid import Spec, draw, grid, sweep_runs

SHIPPED = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    return path


def _specs(parameters: dict[str, Any]) -> dict[str, Spec]:
    return {name: Spec.model_validate(spec) for name, spec in parameters.items()}


def test_a_grid_varies_the_last_name_fastest_at_every_level() -> None:
    parameters = {
        "b": {"values": [1, 2]},
        "a": {"value": 0},
        "c": {"parameters": {"y": {"min": 3, "max": 4}, "x": {"value": 5}}},
    }
    assert list(grid(_specs(parameters))) == [{"a": 0, "b": b, "c": {"x": 5, "y": y}} for b in (1, 2) for y in (3, 4)]


def test_a_sweep_gives_each_run_once_with_overrides_for_all(tmp_path: Path) -> None:
    file = _file(
        tmp_path, "method: grid\nparameters:\n  pruner: {values: [snip, snip, random]}\n  seed: {values: [0, 1]}\n"
    )
    runs = sweep_runs(file, {"train.epochs": 2})
    assert [(r.settings.pruner, r.settings.seed) for r in runs] == [
        ("snip", 0),
        ("snip", 1),
        ("random", 0),
        ("random", 1),
    ]
    assert {r.settings.train.epochs for r in runs} == {2}


def test_nested_parameters_are_options_with_dots(tmp_path: Path) -> None:
    nested = "  train: {parameters: {epochs: {values: [1, 2]}, lr: {value: 1e-3}}}\n  pruner: {value: snip}\n"
    runs = sweep_runs(_file(tmp_path, f"method: grid\nparameters:\n{nested}"), {})
    assert [(r.settings.train.epochs, r.settings.train.lr) for r in runs] == [(1, 0.001), (2, 0.001)]


def test_a_random_sweep_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    spec = (
        "  train.lr: {min: 1.0e-4, max: 1.0e-2, distribution: log_uniform_values}\n  pruner: {values: [snip, random]}\n"
    )
    file = _file(tmp_path, f"method: random\nparameters:\n{spec}")
    ids = [[r.id for r in sweep_runs(file, {}, count=5, seed=s)] for s in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]
    assert all(1e-4 <= (r.settings.train.lr or 0) <= 1e-2 for r in sweep_runs(file, {}, count=5))


def test_draws_stay_in_their_range() -> None:
    points = [
        draw(_specs({"a": {"min": 1, "max": 3}, "b": {"min": 0.0, "max": 1.0}}), random.Random(i)) for i in range(50)
    ]
    assert {p["a"] for p in points} == {1, 2, 3}
    assert all(0 <= p["b"] <= 1 for p in points)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "method: bayes\nparameters: {a: {value: 1}}\n",
            "method must be grid or random, got bayes; bayes needs the W&B service",
        ),
        ("just text\n", "is no sweep file"),
        ("method: random\nparameters: {seed: {min: 0, max: 9}}\n", "--count N or run_cap"),
        ("method: grid\nparameters: {seed: 3}\n", "parameters.seed: write `value: 3`"),
        ("method: grid\nparameters: {pruner: {values: [snpi]}}\n", "did you mean 'snip'"),
        ("method: [\n", "is not YAML"),
    ],
)
def test_a_file_that_is_no_sweep_is_refused_with_its_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        sweep_runs(_file(tmp_path, text), {})
    assert "sweep.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_every_shipped_comparison_has_seeds_and_its_runs_are_valid(path: Path) -> None:
    runs = sweep_runs(path, {})
    assert len({r.settings.seed for r in runs}) >= (1 if "small" in path.stem else 3)
    proposed = set() if path.stem.endswith("from_start") else {"nnrelief"}  # which needs a trained network
    assert {"dense"} | proposed <= {r.settings.pruner for r in runs}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_every_shipped_sweep_is_judged_on_validation(path: Path) -> None:
    assert read_yaml(path)["metric"] == {"name": "val_top1", "goal": "maximize"}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_the_first_line_of_a_shipped_sweep_is_a_sentence(path: Path) -> None:
    assert path.read_text().partition("\n")[0].endswith((".", "?"))  # it stands alone in `prunebench list sweeps`


@pytest.mark.parametrize("task", ["mnist", "cifar10", "cifar100", "tiny_imagenet"])
def test_a_comparison_has_every_method_at_two_to_sixty_four_times_fewer_weights(task: str) -> None:
    runs = sweep_runs(task, {})
    no_filters = {"l1_filters", "network_slimming"} if task == "mnist" else set()  # where a neuron is one
    assert {run.settings.pruner for run in runs} == set(pruner_names()) - {"control"} - no_filters
    kept = {(run.settings.pruner, round(1 / (1 - s))) for run in runs if (s := getattr(run.pruner, "sparsity", 0.0))}
    for method in ("magnitude", "lamp", "taylor", "lottery_ticket", "lr_rewinding", "fine_tuning"):  # by rounds
        (run, *_) = [r for r in runs if r.settings.pruner == method and r.settings.seed == 0]
        targets = [p.sparsity or 0.0 for p in run.plan(1000) if isinstance(p, Prune)]
        assert targets[0] <= 0.5
        assert targets[-1] >= 1 - 1 / 64
        assert len(targets) >= 6
    for method in ("wanda", "sparsegpt", "snip", "grasp", "synflow", "random", "set", "rigl", "movement"):
        assert {(method, times) for times in (2, 4, 8, 16, 32, 64)} <= kept
