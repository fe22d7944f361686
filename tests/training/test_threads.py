"""Threads: one rule by network and cores, recorded, kept by whoever goes on, changed by `--threads`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.config.options import run_config
from benchmark.config.run import RunConfig
from benchmark.data.dataset import load_dataset
from benchmark.errors import Interrupted, UserError
from benchmark.records.record import Record
from benchmark.runs.execution import carry_out
from benchmark.training.dense import DenseTrainings
from benchmark.training.stopping import Stop
from benchmark.training.threads import threads, threads_for
from benchmark.training.trainer import Trainer

SMALL = {"train.epochs": 2, "retrain.epochs": 1, "train_limit": 300, "wandb": "off", "device": "cpu"}


def _config(results: Path, **options: Any) -> RunConfig:
    options = {k.replace("__", "."): v for k, v in options.items()}
    return run_config({**SMALL, "results": results, "pruner": "magnitude(rounds=1)", **options})


@pytest.mark.parametrize(
    ("model", "dataset", "cores", "expected"),
    [
        ("lenet_300_100", "digits", 8, 1),
        ("lenet_5", "mnist", 8, 1),
        ("resnet_20", "cifar10", 8, 4),
        ("resnet_20", "cifar10", 2, 2),
        ("vgg_16", "cifar10", 16, 16),
        ("vgg_16", "cifar10", 1, 1),
    ],
)
def test_small_networks_take_one_thread_and_large_ones_what_there_is(
    model: str, dataset: str, cores: int, expected: int, tmp_path: Path
) -> None:
    assert threads_for(_config(tmp_path, model=model, dataset=dataset, train_limit=None), cores) == expected


def test_the_option_says_otherwise_and_is_no_part_of_the_identity(tmp_path: Path) -> None:
    plain, told = _config(tmp_path), _config(tmp_path, threads=3)
    assert threads_for(told, 1) == 3
    assert (plain.id, plain.dense_id) == (told.id, told.dense_id)
    with pytest.raises(UserError, match="threads must be a whole number, at least 1 or None, got 0"):
        _config(tmp_path, threads=0)


def _threads_in(record: Record) -> int:
    return record.read_json("environment.json")["hardware"]["threads"]


def test_a_run_and_its_dense_training_record_their_threads_and_leave_those_of_the_process(tmp_path: Path) -> None:
    folder = carry_out(_config(tmp_path, threads=2)).folder
    (dense,) = (tmp_path / "dense").iterdir()
    assert [_threads_in(Record(path)) for path in (folder, dense)] == [2, 2]
    assert torch.get_num_threads() == 1


def test_a_dense_training_begun_with_two_threads_goes_on_with_two_and_ends_as_if_undisturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when it was killed under `--jobs 1` and another process, with one thread, takes it up."""
    data = load_dataset("digits", size=(1, 28, 28), train_limit=300)
    configs = {part: _config(tmp_path / part, model="lenet_5") for part in ("whole", "parts")}
    with threads(2):
        whole = DenseTrainings(configs["whole"], data).trained(set())
        stop = Stop()
        with pytest.raises(Interrupted):
            DenseTrainings(configs["parts"], data, lambda row: stop.ask(9), stop).trained(set())
    seen, window = [], Trainer._train_window

    def watched(self: Trainer, *args: Any) -> None:
        seen.append(torch.get_num_threads())
        window(self, *args)

    monkeypatch.setattr(Trainer, "_train_window", watched)
    again = DenseTrainings(configs["parts"], data)
    parts = again.trained(set())
    again.at_step(1)
    assert seen == [2, 2]
    assert all(torch.equal(whole.module[name], parts.module[name]) for name in whole.module)
