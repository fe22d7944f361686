"""What a run will cost, from its configuration alone: nothing is loaded, built on a GPU or trained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from benchmark.config import RunConfig
from benchmark.models import Network, Shape
from benchmark.pruning import Train, epochs_of
from benchmark.training import BACKWARD


@dataclass(frozen=True)
class Cost:
    """Training epochs, and the training FLOPs of the unpruned network: an upper bound."""

    epochs: float
    train_flops: float


def training_examples(config: RunConfig) -> int:
    """Examples in the training split: the published training set less validation, or `train_limit`."""
    info = config.images.info
    return config.settings.train_limit or info.train - info.validation


def starts_dense(config: RunConfig) -> bool:
    """Whether the run begins with the dense training that methods share, which no file stands for."""
    return config.settings.weights is None and config.plan(_steps(config))[:1] == [Train(0, _steps(config))]


def cost_of(config: RunConfig, dense_is_paid: bool = False) -> Cost:
    """The cost of a run; without its dense training where another run pays for that."""
    s = config.settings
    plan = config.plan(_steps(config))
    if s.weights is not None or (dense_is_paid and starts_dense(config)):
        plan = plan[1:]
    epochs = epochs_of(plan, _steps(config) // s.train.epochs, s.train.epochs, s.retrain.epochs)
    flops = _flops(config.network, config.images.info.classes, config.input_shape)
    return Cost(epochs, BACKWARD * flops * epochs * training_examples(config))


def _steps(config: RunConfig) -> int:
    train = config.settings.train
    return train.epochs * max(1, training_examples(config) // train.batch_size)


@cache
def _flops(network: Network, classes: int, shape: Shape) -> int:
    from benchmark.metrics import dense_flops

    return dense_flops(network.build(classes, 0, shape), shape).total
