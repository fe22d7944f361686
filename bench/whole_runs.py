"""Whole runs, from the options to the last record, against bare loops with the same steps and evaluations."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench import bare
from bench.timing import Figure, compare
from benchmark.config import RunConfig, data_folder, run_config
from benchmark.data import Dataset, Split, load_dataset
from benchmark.data.dataset import normaliser
from benchmark.network import MaskedModel
from benchmark.pruning import Train, measured_points
from benchmark.runs import Progress, carry_out
from benchmark.training import make_optimizer


@dataclass(frozen=True)
class Case:
    """A run to measure, and how often; `data` is what it needs in PRUNEBENCH_DATA."""

    what: str
    options: dict[str, Any]
    repeats: int
    data: str = ""


TICKET = "lottery_ticket(rounds=6, sparsity=0.984375)"
ROUND = {"pruner": "magnitude(rounds=1, sparsity=0.9)", "train.epochs": 2, "retrain.epochs": 2}
PART = {"train.optimizer": "sgd", "train.batch_size": 128, "train_limit": 5000, "allow_unverified_data": True}
CASES = [
    Case("digits, lottery ticket", {"pruner": TICKET, "train.epochs": 20, "retrain.epochs": 18}, 5),
    Case("MNIST, lenet_300_100", {"dataset": "mnist", **ROUND, "train.epochs": 10, "retrain.epochs": 5}, 3, "MNIST"),
    Case("MNIST, lenet_5", {"dataset": "mnist", "model": "lenet_5", **ROUND, "train_limit": 20000}, 3, "MNIST"),
    Case(
        "5,000 of CIFAR-10, resnet_20",
        {"dataset": "cifar10", "model": "resnet_20", **ROUND, **PART},
        1,
        "cifar-10-batches-py",
    ),
]
SMALLEST = Case(
    "digits, magnitude", {"pruner": "magnitude(rounds=1, sparsity=0.9)", "train.epochs": 2, "retrain.epochs": 1}, 1
)


def figures(quick: bool) -> Iterator[Figure]:
    """The share of each run's time that a bare loop would have taken."""
    folder = data_folder(None) or Path("data")
    for case in [SMALLEST] if quick else CASES:
        if not case.data or (folder / case.data).exists():
            yield whole_run(case)
        else:
            print(f"whole run, {case.what}: no {case.data} in {folder}; give the folder with PRUNEBENCH_DATA")


def whole_run(case: Case) -> Figure:
    """The ratio of bare to whole time: 1 is a run that costs nothing but its steps and evaluations."""
    with tempfile.TemporaryDirectory() as folder:
        options = {"results": folder, "wandb": "off", "threads": 1, **case.options}
        config = run_config(options)
        s = config.settings
        data = load_dataset(
            config.images, s.data_dir, size=config.input_shape, train_limit=s.train_limit, allow_unverified=True
        )

        def suite() -> None:
            shutil.rmtree(folder)
            with contextlib.redirect_stdout(io.StringIO()):
                made = run_config(options)
                assert carry_out(made, Progress(made, show=False)).state == "done"

        return compare(f"whole run, {case.what}", bare_run(config, data), suite, case.repeats)


def bare_run(config: RunConfig, data: Dataset) -> Callable[[], None]:
    """A loop with the trainings of the run's plan, the evaluations after each epoch and at each measured point."""
    recipe, normalise = config.settings.train, normaliser(data)

    def ready(split: Split) -> bare.Split:
        return normalise(split.images), split.labels

    train, validation, test = map(ready, (data.train, data.validation, data.test))
    per_epoch = len(data.train.labels) // recipe.batch_size
    plan = config.plan(recipe.epochs * per_epoch)
    points = {point.index for point in measured_points(plan)}

    def run() -> None:
        torch.set_num_threads(1)
        module = config.network.build(data.classes, 0, data.shape)
        for index, phase in enumerate(plan):
            if isinstance(phase, Train):
                stop = config.retraining.epochs * per_epoch if phase.stop is None else phase.stop
                optimizer = make_optimizer(MaskedModel(module), recipe)
                bare.train(module, optimizer, train, range(phase.start, stop), recipe.batch_size, validation)
            if index in points:
                bare.accuracy(module, test)
                bare.accuracy(module, validation)

    return run
