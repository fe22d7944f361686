"""A training that is stopped, damaged or asked for by another ends as if nothing had happened."""

from __future__ import annotations

import errno
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmark.config.options import run_config
from benchmark.config.run import RunConfig
from benchmark.data.dataset import Dataset, load_dataset
from benchmark.errors import Interrupted
from benchmark.models.registry import Network
from benchmark.pruning.plan import Train
from benchmark.records.record import Record
from benchmark.records.schema import Row
from benchmark.runs.execution import carry_out, outcome_of
from benchmark.training import trainer
from benchmark.training.dense import DenseTrainings
from benchmark.training.stopping import Stop
from benchmark.training.trainer import Trainer

SMALL = {"train.epochs": 3, "retrain.epochs": 1, "train_limit": 400, "wandb": "off", "device": "cpu"}
STEPS = 9  # of the dense training: three an epoch


def _with_dropout(network: Network, classes: int, seed: int, shape: tuple[int, int, int]) -> nn.Module:
    """A network that draws in every training step."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 20), nn.ReLU(), nn.Dropout(0.5), nn.Linear(20, classes))


@pytest.fixture(autouse=True, scope="module")
def _dropout() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Network, "build", _with_dropout)
        yield


def _config(results: Path, pruner: str = "magnitude(rounds=1)", **options: Any) -> RunConfig:
    return run_config({**SMALL, "results": results, "pruner": pruner, **options})


def _data() -> Dataset:
    return load_dataset("digits", size=(1, 28, 28), train_limit=400)


def _lasting(rows: list[Row]) -> list[Row]:
    return [{k: v for k, v in row.items() if not k.endswith(("seconds", "per_second"))} for row in rows]


def _result(results: Path) -> dict[str, Any]:
    (folder,) = (results / "runs").iterdir()
    record = Record(folder)
    found: dict[str, Any] = {name: _lasting(record.read_rows(f"{name}.jsonl")) for name in ("epochs", "points")}
    assert record.done
    return found  # points have the digests of weights and masks


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, _dropout: None) -> dict[str, Any]:
    """What the run finds when nothing happens to it."""
    results = tmp_path_factory.mktemp("whole")
    carry_out(_config(results))
    return _result(results)


@pytest.mark.parametrize("snapshots", [{3, 6}, {1, 2, 5, 7, 8}])
def test_the_dense_training_is_the_same_whoever_asked_first(snapshots: set[int], tmp_path: Path) -> None:
    plain, asked = (DenseTrainings(_config(tmp_path / part), _data()) for part in "ab")
    first, second = plain.trained(set()), asked.trained(snapshots)
    assert all(torch.equal(first.module[name], second.module[name]) for name in first.module)
    assert _lasting(first.epochs) == _lasting(second.epochs)
    assert first.state.train_flops == second.state.train_flops
    for step in snapshots:
        made = plain.at_step(step)
        assert all(torch.equal(made[name], tensor) for name, tensor in asked.at_step(step).items())
    assert not list((tmp_path / "a").rglob("to_step_*"))


def test_the_training_loss_of_an_epoch_is_the_mean_over_its_steps(tmp_path: Path) -> None:
    config = _config(tmp_path)
    (tmp_path / "a").mkdir()
    made: list[Row] = []
    training = Trainer(config, _data(), Record(tmp_path / "a"), [], "a", snapshots={1}, made=made.append)
    losses: list[torch.Tensor] = []
    window = training._train_window

    def watched(phase: Train, stop: int) -> None:
        window(phase, stop)
        losses.append(training.losses[-1])

    training._train_window = watched
    training.train(Train(0, 3), ends=True)
    assert [len(part) for part in losses] == [1, 2]
    assert made[0]["train_loss"] == pytest.approx(torch.cat(losses).mean().item())


@pytest.mark.parametrize("at", range(1, 13))
def test_a_signal_in_training_is_kept_until_the_step_is_whole_and_no_step_is_lost(
    at: int, tmp_path: Path, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked to stop in step `at` of all that are taken: 9 of the dense training, 3 of retraining."""
    steps, batches = 0, trainer.train_batches
    stop = Stop()

    def watched(*args: Any, **options: Any) -> Iterator[Any]:
        nonlocal steps
        for batch in batches(*args, **options):
            steps += 1
            if steps == at:
                stop.ask(15)
            yield batch

    monkeypatch.setattr(trainer, "train_batches", watched)
    monkeypatch.setattr("benchmark.training.Stop", lambda: stop)
    config = _config(tmp_path)
    with pytest.raises(Interrupted) as caught:
        carry_out(config)
    assert caught.value.args == (143,)
    assert steps == at
    assert outcome_of(config).state == "interrupted"
    stop = Stop()
    carry_out(config)
    assert steps == 12
    assert _result(tmp_path) == whole


def test_a_signal_while_an_epoch_is_evaluated_loses_no_step_either(
    tmp_path: Path, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, evaluate, taken = _config(tmp_path), Trainer.evaluate, []

    def interrupted(self: Trainer, split: str) -> Row:
        taken.append(self.state.steps_total)
        if len(taken) == 2:
            raise Interrupted(130)
        return evaluate(self, split)

    monkeypatch.setattr(Trainer, "evaluate", interrupted)
    with pytest.raises(Interrupted):
        carry_out(config)
    carry_out(config)
    assert taken == [3, 6, 6, 9, 12]
    assert _result(tmp_path) == whole


def _stopped(config: RunConfig, monkeypatch: pytest.MonkeyPatch, saves: int) -> Record:
    """A run that was killed at a checkpoint, with one before it."""
    save, made = Trainer.save, 0

    def killed(self: Trainer) -> None:
        nonlocal made
        save(self)
        made += self.record.folder.parent.name == "runs"
        if made == saves:
            raise OSError(errno.EIO, "gone")

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "CHECKPOINT_SECONDS", 0)
        patch.setattr(Trainer, "save", killed)
        with pytest.raises(OSError, match="gone"):
            carry_out(config)
    (folder,) = (config.settings.results / "runs").iterdir()
    return Record(folder)


WRONG: dict[str, Callable[[dict[str, Any]], Any]] = {
    "other keys": lambda saved: {"step": 1},
    "another plan": lambda saved: saved | {"owner": [saved["owner"][0], "[]"]},
    "another run": lambda saved: saved | {"owner": ["other", saved["owner"][1]]},
    "other tensors": lambda saved: saved | {"module": {"1.weight": torch.ones(2)}},
    "other shapes": lambda saved: saved | {"module": {n: t.flatten() for n, t in saved["module"].items()}},
    "other masks": lambda saved: saved | {"masks": {"1.weight": torch.ones(3, dtype=torch.bool)}},
    "another state": lambda saved: saved | {"state": {"page": 3}},
    "no dictionary": lambda saved: {"state": 1, **saved, "masks": []},
}


@pytest.mark.parametrize("how", WRONG)
def test_a_checkpoint_that_loads_and_is_wrong_is_set_aside_with_one_line(
    how: str, tmp_path: Path, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = _stopped(_config(tmp_path), monkeypatch, 2)
    saved = record.load("checkpoint.pt")
    assert saved is not None
    record.save("checkpoint.pt", WRONG[how](saved))
    capsys.readouterr()
    assert carry_out(_config(tmp_path)).state == "done"
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "checkpoint.pt is damaged (not where this training stands" in said[0]
    assert (record.folder / "checkpoint.pt.corrupt").exists()
    assert _result(tmp_path) == whole


TAMPERED: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "emptied": lambda lines: [],
    "cut": lambda lines: lines[:-1],
    "doubled": lambda lines: [lines[0], *lines],
    "edited": lambda lines: [lines[0].replace(b"0.", b"1.", 1), *lines[1:]],
    "swapped": lambda lines: lines[::-1],
    "gone on": lambda lines: [*lines, b'{"log_step": 77, "chain": "0"}\n', b'{"torn'],
}


@pytest.mark.parametrize("name", ["epochs.jsonl", "points.jsonl"])
@pytest.mark.parametrize("how", TAMPERED)
def test_what_depends_on_rows_that_were_tampered_with_is_made_anew(
    how: str, name: str, tmp_path: Path, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    record = _stopped(_config(tmp_path), monkeypatch, 3)
    path = record.folder / name
    path.write_bytes(b"".join(TAMPERED[how](path.read_bytes().splitlines(keepends=True))))
    capsys.readouterr()
    assert carry_out(_config(tmp_path)).state == "done"
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" (")[0] for line in lines] == ([] if how == "gone on" else [f"{path} is damaged"])
    assert _result(tmp_path) == whole


@pytest.mark.parametrize("name", ["runs/*/checkpoint.pt", "dense/*/network.pt"])
def test_each_of_fifty_flipped_bits_is_noticed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _stopped(_config(tmp_path), monkeypatch, 2)
    (path,) = tmp_path.glob(name)
    content, chance, noticed = path.read_bytes(), random.Random(0), 0
    for kind in range(50):
        damaged = bytearray(content)
        place = chance.randrange(len(content))
        if kind % 5:
            damaged[place] ^= 1 << chance.randrange(8)
        else:
            damaged[place : place + 512] = bytes(len(damaged[place : place + 512]))
        if damaged == content:  # a block of zeros that was zeros before
            noticed += 1
            continue
        path.write_bytes(damaged)
        noticed += Record(path.parent).load(path.name) is None
    assert noticed == 50
    assert "its digest does not hold" in capsys.readouterr().err


def test_a_dense_training_whose_network_or_rows_are_damaged_is_made_anew(
    tmp_path: Path, whole: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    dense = DenseTrainings(_config(tmp_path), _data())
    first = dense.trained(set())
    (folder,) = (tmp_path / "dense").iterdir()
    for name in ("network.pt", "epochs.jsonl"):
        damaged = bytearray((folder / name).read_bytes())
        damaged[len(damaged) // 2] ^= 1
        (folder / name).write_bytes(damaged)
        again = dense.trained(set())
        assert f"{folder / name} is damaged" in capsys.readouterr().err
        assert all(torch.equal(first.module[n], again.module[n]) for n in first.module)
    assert json.loads((folder / "status.json").read_text())["state"] == "done"


def test_an_error_of_the_moment_while_resuming_sets_nothing_aside(
    tmp_path: Path, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = _stopped(_config(tmp_path), monkeypatch, 2)
    read = Path.read_bytes

    def fail(self: Path) -> bytes:
        if self.suffix == ".pt":
            raise OSError(errno.EMFILE, "Too many open files", str(self))
        return read(self)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail)
        with pytest.raises(OSError, match="Too many open files"):
            carry_out(_config(tmp_path))
    assert record.standing == ("interrupted", "Too many open files; run it again to go on")
    assert not list(tmp_path.rglob("*.corrupt"))
    carry_out(_config(tmp_path))
    assert _result(tmp_path) == whole


def test_a_finished_training_that_was_killed_before_it_said_so_is_done_at_once(
    tmp_path: Path, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config(tmp_path)
    folder = carry_out(config).folder
    for record in (Record(folder), *(Record(path) for path in (tmp_path / "dense").iterdir())):
        record.update_status("running")
    taken = []
    monkeypatch.setattr(Trainer, "_train_window", lambda *args: taken.append(args))
    assert carry_out(config).state == "done"
    assert taken == []
    assert _result(tmp_path) == whole


def test_an_interrupted_dense_training_does_not_say_that_it_is_running(tmp_path: Path) -> None:
    stop = Stop()
    dense = DenseTrainings(_config(tmp_path), _data(), on_epoch=lambda row: stop.ask(15), stop=stop)
    with pytest.raises(Interrupted):
        dense.trained(set())
    (folder,) = (tmp_path / "dense").iterdir()
    assert Record(folder).status["state"] == "interrupted"
