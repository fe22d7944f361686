"""Whole runs on digits: sharing, exactness, repetition, interruption, failure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.config.options import run_config
from benchmark.config.run import RunConfig
from benchmark.data.dataset import Dataset, load_dataset
from benchmark.errors import Interrupted, UserError
from benchmark.pruning.plan import Rewind, Train
from benchmark.records.record import Record
from benchmark.records.rows import read_rows
from benchmark.records.schema import Row
from benchmark.runs.execution import carry_out
from benchmark.training import trainer
from benchmark.training.dense import DenseTrainings
from benchmark.training.runner import Runner
from benchmark.training.trainer import Trainer

SMALL = {"train.epochs": 2, "retrain.epochs": 1, "train_limit": 400, "wandb": "off", "device": "cpu"}
TIMED = ("seconds", "images_per_second")


def _config(results: Path, **options: Any) -> RunConfig:
    return run_config({**SMALL, "results": results, **{k.replace("__", "."): v for k, v in options.items()}})


def _rows(folder: Path, name: str) -> list[Row]:
    """Rows without what a clock says."""
    return [{k: v for k, v in row.items() if not k.endswith(TIMED)} for row in Record(folder).read_rows(name)]


def _data() -> Dataset:
    return load_dataset("digits", size=(1, 28, 28), train_limit=400)


def _runner(config: RunConfig, record: Record, made: Callable[[Row], None] = lambda row: None) -> Runner:
    return Runner(config, _data(), record, DenseTrainings(config, _data()), made)


def _done(config: RunConfig) -> Path:
    outcome = carry_out(config)
    assert outcome.state == "done", outcome.reason
    return outcome.folder


def test_an_iterative_run_measures_every_round_before_and_after_retraining(tmp_path: Path) -> None:
    folder = _done(_config(tmp_path, pruner="magnitude(rounds=2, sparsity=0.75)"))
    points = _rows(folder, "points.jsonl")
    found = [(p["round"], p["stage"], p["sparsity_prunable"]) for p in points]
    assert found == [
        (0, "trained", 0),
        (1, "pruned", 0.5),
        (1, "trained", 0.5),
        (2, "pruned", 0.75),
        (2, "trained", 0.75),
    ]
    assert [p["epochs_total"] for p in points] == [2, 2, 3, 3, 4]
    assert len(_rows(folder, "epochs.jsonl")) == 4
    assert all(p["total"] == 360 and p["correct"] == round(p["top1"] * 360) for p in points)
    assert points[2]["train_flops"] < 1.5 * points[0]["train_flops"]  # the retraining of half the weights cost half


def test_a_network_whose_masks_would_not_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="changed before they are used"):
        carry_out(_config(tmp_path / "results", model="timm/nf_resnet26", image_size=32))
    assert not (tmp_path / "results").exists()


def test_a_run_repeated_has_the_same_masks_metrics_and_rows(tmp_path: Path) -> None:
    runs = [_done(_config(tmp_path / part, pruner="nnrelief(rounds=2)")) for part in "ab"]
    for name in ("points.jsonl", "epochs.jsonl"):
        assert _rows(runs[0], name) == _rows(runs[1], name)


@pytest.mark.parametrize("seconds", [0.0, 10.0])
def test_a_row_is_shown_when_a_resumed_run_would_have_it_too(
    seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", seconds)
    config = _config(tmp_path, pruner="magnitude(rounds=1)")
    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    shown: list[Row] = []
    made: list[Row] = []

    def show(row: Row) -> None:
        state = torch.load(folder / "checkpoint.pt")["state"]
        epochs, points = (read_rows(folder / f"{name}.jsonl", state[name]) for name in ("epochs", "points"))
        assert row in [*epochs, *points]
        assert row in made
        shown.append(row)

    runner = _runner(config, Record(folder), made.append)
    runner.trainer.kept = show
    runner.execute()
    assert [row["log_step"] for row in shown] == list(range(6))


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    config = _config(tmp_path, pruner="snip")
    folder = _done(config)
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir() if p.name != ".lock"}
    _done(config)
    assert before == {p.name: p.stat().st_mtime_ns for p in folder.iterdir() if p.name != ".lock"}


def test_methods_share_one_dense_training_and_its_point(tmp_path: Path) -> None:
    first = _done(_config(tmp_path, pruner="magnitude(rounds=1)"))
    [dense] = (tmp_path / "dense").iterdir()
    made = (dense / "network.pt").stat().st_mtime_ns
    second = _done(_config(tmp_path, pruner="lottery_ticket(rounds=1)"))
    assert (dense / "network.pt").stat().st_mtime_ns == made
    assert _rows(first, "points.jsonl")[0] == _rows(second, "points.jsonl")[0]


def test_one_seed_gives_all_methods_the_same_first_weights_and_batches(tmp_path: Path) -> None:
    data = load_dataset("digits", size=(1, 28, 28))
    configs = [_config(tmp_path, pruner=pruner) for pruner in ("snip", "magnitude")]
    nets = [Runner(c, data, Record(tmp_path), DenseTrainings(c, data)).net for c in configs]
    for a, b in zip(*(net.module.parameters() for net in nets), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("step", [0, 3])
def test_rewinding_puts_surviving_weights_back_to_that_step(tmp_path: Path, step: int) -> None:
    config = _config(tmp_path / "ticket", pruner=f"lottery_ticket(rounds=1, rewind_step={step})")
    folder = _done(config)
    (tmp_path / "again").mkdir()
    again = Trainer(config, _data(), Record(tmp_path / "again"), [], "a")
    if step:
        again.train(Train(0, step), ends=False)
    ticket = _runner(config, Record(folder))
    ticket.net.masks = torch.load(folder / "network.pt", weights_only=True)["masks"]
    ticket._rewind(Rewind(step))
    for name, weight in again.net.weights.items():
        assert torch.equal(ticket.net.weights[name], weight * ticket.net.masks[name])


@pytest.mark.parametrize("after", [1, 2, 4, 7])
@pytest.mark.parametrize("pruner", ["nnrelief(rounds=2)", "lottery_ticket(rounds=2, rewind_step=3)"])
def test_an_interrupted_run_ends_bit_equal_to_an_uninterrupted_one(
    tmp_path: Path, pruner: str, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _done(_config(tmp_path / "whole", pruner=pruner))
    config = _config(tmp_path / "parts", pruner=pruner)
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0)  # after each epoch and phase
    saves = 0
    save = Trainer.save

    def interrupted(self: Trainer) -> None:
        nonlocal saves
        saves += 1
        if saves == after:
            raise Interrupted(143)
        save(self)

    monkeypatch.setattr(Trainer, "save", interrupted)
    with pytest.raises(Interrupted):
        carry_out(config)
    monkeypatch.undo()
    folder = _done(config)
    for name in ("points.jsonl", "epochs.jsonl"):
        assert _rows(folder, name) == _rows(whole, name)
    assert not list(folder.glob("*.part"))


def test_an_iterative_run_stops_once_it_lost_too_much(tmp_path: Path) -> None:
    run = _config(tmp_path, pruner="magnitude(rounds=4, sparsity=0.9999)", stop_drop=0.01, train__epochs=8)
    folder = _done(run)
    points = _rows(folder, "points.jsonl")
    assert points[-1]["round"] < 4
    assert points[0]["val_top1"] - points[-1]["val_top1"] > 0.01
    assert "below dense" in Record(folder).status["stopped_early"]


def test_a_training_that_diverges_is_marked_with_epoch_and_step(tmp_path: Path) -> None:
    outcome = carry_out(_config(tmp_path, pruner="snip", train__optimizer="sgd", train__lr=1e30))
    assert outcome.state == "diverged"
    assert "epoch 1, step" in outcome.reason


def test_a_method_that_breaks_its_contract_fails_the_run_with_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text(
        "from dataclasses import dataclass\nfrom benchmark import ScoredPruner\n@dataclass(frozen=True, kw_only=True)\n"
        "class Bad(ScoredPruner):\n    'Bad.'\n"
        "    def score(self, net, batches):\n        return {n: w / 0 for n, w in net.weights.items()}\n"
    )
    outcome = carry_out(_config(tmp_path / "results", pruner=f"{file}:Bad"))
    assert (outcome.state, outcome.reason) == ("failed", "Bad.prune: the scores of fc1.weight are not all finite")


def test_the_best_validation_epoch_is_measured_where_asked(tmp_path: Path) -> None:
    folder = _done(_config(tmp_path, pruner="dense", select="best", train__epochs=6))
    best = max(row["val_top1"] for row in _rows(folder, "epochs.jsonl"))
    assert _rows(folder, "points.jsonl")[0]["val_top1"] == best


def test_a_convolutional_network_runs_from_start_to_end(tmp_path: Path) -> None:
    folder = _done(_config(tmp_path, pruner="nnrelief(rounds=1)", model="lenet_5", train__epochs=1))
    last = _rows(folder, "points.jsonl")[-1]
    assert last["compression_params"] > 1
    assert last["speedup_theoretical"] > 1


def test_points_say_how_many_flops_scoring_took_until_there(tmp_path: Path) -> None:
    layers = [28 * 28 * 300, 300 * 100, 100 * 10]
    for pruner, passes in (("random(sparsity=0.5)", 0), ("snip(sparsity=0.5)", 3)):
        [pruned, trained] = _rows(_done(_config(tmp_path, pruner=pruner)), "points.jsonl")[-2:]
        first = layers[0] if passes else 0  # whose inputs need no gradient
        assert pruned["prune_flops"] == trained["prune_flops"] == 400 * (passes * sum(layers) - first)


def test_firing_is_measured_at_the_first_point_the_last_and_the_one_nearest_to_16x_or_at_all(tmp_path: Path) -> None:
    method = "magnitude(rounds=6, sparsity=0.984375)"  # halves what is left in each round
    few, every = (
        _rows(_done(_config(tmp_path / firing, pruner=method, firing=firing)), "points.jsonl")
        for firing in ("few", "all")
    )
    assert [(p["round"], p["stage"]) for p in few if "firing" in p] == [(0, "trained"), (4, "trained"), (6, "trained")]
    assert all("firing" in p for p in every)
    for one, other in zip(few, every, strict=True):
        assert one == {name: other[name] for name in one}


def test_without_targets_firing_is_measured_at_the_first_trained_point_beyond_16x(tmp_path: Path) -> None:
    config = _config(tmp_path, pruner="nnrelief(rounds=4, alpha_fc=0.4)", **{"train.epochs": 1})
    points = _rows(_done(config), "points.jsonl")
    trained = [p for p in points if p["stage"] == "trained"]
    beyond = next(p["point"] for p in trained if p["compression_params"] >= 16)
    assert beyond != trained[-1]["point"]
    assert [p["point"] for p in points if "firing" in p] == [0, beyond, trained[-1]["point"]]
