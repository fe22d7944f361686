"""What a run will cost, from its configuration alone: nothing is loaded, built on a GPU or trained."""

from __future__ import annotations

import contextlib
import socket
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from benchmark.config import RunConfig, run_config
from benchmark.errors import MethodError, UserError
from benchmark.models import Network, Shape
from benchmark.pruning import Train, epochs_of
from benchmark.records import Damaged, Record, device_name
from benchmark.runs import pick_device
from benchmark.training import BACKWARD

Place = tuple[str | None, int | None]  # the device's name, and the threads that were asked for


@dataclass(frozen=True)
class Cost:
    """Training epochs, and the training FLOPs of the unpruned network: an upper bound."""

    epochs: float
    train_flops: float
    whole: float  # epochs with the dense training that another run pays for


def training_examples(config: RunConfig) -> int:
    """Examples in the training split: the published training set less validation, or `train_limit`."""
    info = config.images.info
    return config.settings.train_limit or info.train - info.validation


def starts_dense(config: RunConfig) -> bool:
    """Whether the run begins with the dense training that methods share, which no file stands for.

    One whose plan is impossible begins with nothing; carried out, it says why.
    """
    try:
        first = config.plan(_steps(config))[:1]
    except (UserError, MethodError):
        return False
    return config.settings.weights is None and first == [Train(0, _steps(config))]


def cost_of(config: RunConfig, dense_is_paid: bool = False) -> Cost:
    """The cost of a run; without its dense training where another run pays for that.

    Raises UserError or MethodError where its plan is impossible.
    """
    s = config.settings
    plan = config.plan(_steps(config))
    paid = s.weights is not None or (dense_is_paid and starts_dense(config))
    epochs, whole = (
        epochs_of(phases, _steps(config) // s.train.epochs, s.train.epochs, s.retrain.epochs)
        for phases in (plan[1:] if paid else plan, plan)
    )
    return Cost(epochs, epochs * _flops_of_epoch(config), whole)


def costs_of(runs: Sequence[RunConfig]) -> list[Cost]:
    """The cost of each run; of those that share a dense training, the first pays for it, if it is not made yet.

    A run whose plan cannot be carried out costs nothing: it fails before it trains.
    """
    dense = {run.dense_id: Record(run.settings.results / "dense" / run.dense_id) for run in runs}
    paid = {name for name, record in dense.items() if record.status.get("state") == "done"}
    costs = []
    for run in runs:
        try:
            costs.append(cost_of(run, dense_is_paid=run.dense_id in paid))
            if starts_dense(run):
                paid.add(run.dense_id)
        except (MethodError, UserError):
            costs.append(Cost(0.0, 0.0, 0.0))
    return costs


class Pace:
    """How fast this machine was in the dense trainings of these runs' results folders, by device and threads."""

    def __init__(self, runs: Sequence[RunConfig]) -> None:
        self._seconds: dict[tuple[Place, str], float] = {}  # of an epoch, by what decides it
        self._rates: defaultdict[Place, list[float]] = defaultdict(list)  # FLOPs a second
        for root in {run.settings.results for run in runs}:
            for folder in sorted(root.glob("dense/*")):
                with contextlib.suppress(Damaged, UserError, OSError, KeyError, TypeError, ValueError):
                    self._learn(Record(folder))

    def seconds_of_epoch(self, config: RunConfig) -> float | None:
        """Of a like training, else by FLOPs; None where nothing was trained on that device with such threads."""
        place = _device(config.settings.device), config.settings.threads
        if (known := self._seconds.get((place, _alike(config)))) is not None:
            return known
        rates = self._rates.get(place)
        return _flops_of_epoch(config) / statistics.median(rates) if rates else None

    def _learn(self, record: Record) -> None:
        status = record.status
        if status.get("state") == "done" and status.get("host") in (None, socket.gethostname()):
            config = run_config(record.read_json("config.json")["config"])
            seconds = statistics.median(row["seconds"] for row in record.read_rows("epochs.jsonl"))
            place = record.read_json("environment.json")["hardware"]["device"], config.settings.threads
            self._seconds[place, _alike(config)] = seconds
            self._rates[place].append(_flops_of_epoch(config) / seconds)


@cache
def _device(name: str) -> str | None:
    """The name of what computes with this `--device`; None where it is not to be had here."""
    try:
        return device_name(pick_device(name))
    except UserError:
        return None


def _alike(config: RunConfig) -> str:
    """What makes an epoch fast or slow at one place."""
    s = config.settings
    return repr((s.dataset, config.network, training_examples(config), s.train.batch_size, s.amp, s.channels_last))


def _flops_of_epoch(config: RunConfig) -> float:
    flops = _flops(config.network, config.images.info.classes, config.input_shape)
    return float(BACKWARD * flops * training_examples(config))


def _steps(config: RunConfig) -> int:
    train = config.settings.train
    return train.epochs * max(1, training_examples(config) // train.batch_size)


@cache
def _flops(network: Network, classes: int, shape: Shape) -> int:
    from benchmark.metrics import dense_flops

    return dense_flops(network.build(classes, 0, shape), shape).total
