"""Training with a method that takes part in it: effective weights in place of the network's own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call

from benchmark.network import MaskedModel
from benchmark.pruning import SoftPruner, Tensors, blamed

Objective = Callable[[Tensor, Tensor, int], Tensor]  # of inputs, labels and the number of the step in its window


def own_tensors(pruner: SoftPruner, net: MaskedModel) -> Tensors:
    """What the method trains beside the network, at its start."""
    with torch.no_grad(), blamed(pruner, "start"):
        return {name: tensor.clone().requires_grad_() for name, tensor in pruner.start(net).items()}


def cross_entropy(net: MaskedModel, smoothing: float = 0.0) -> Objective:
    """The loss of an ordinary training; `smoothing` of the label is shared out to all classes."""
    return lambda inputs, labels, step: nn.functional.cross_entropy(
        net.module(inputs), labels, label_smoothing=smoothing
    )


def soft_objective(
    pruner: SoftPruner, net: MaskedModel, progress: Callable[[int], float], smoothing: float = 0.0
) -> Objective:
    """The loss with the method's effective weights, and its penalty; `progress` is the share done at a step."""
    parameters = dict(net.module.named_parameters())
    weights: Tensors = {name: parameters[name] for name in net.weights}

    def objective(inputs: Tensor, labels: Tensor, step: int) -> Tensor:
        with blamed(pruner, "effective"):
            effective = pruner.effective(weights, net.own, progress(step))
        outputs = functional_call(net.module, effective, (inputs,))
        loss = nn.functional.cross_entropy(outputs, labels, label_smoothing=smoothing)
        with blamed(pruner, "penalty"):
            penalty = pruner.penalty(weights, net.own, progress(step))
        return loss if penalty is None else loss + penalty

    return objective


@contextlib.contextmanager
def effective_weights(pruner: SoftPruner, net: MaskedModel, progress: float) -> Iterator[None]:
    """Within, the network holds its effective weights."""
    parameters = dict(net.module.named_parameters())
    weights = {name: weight.clone() for name, weight in net.weights.items()}
    with torch.no_grad(), blamed(pruner, "effective"):
        effective = pruner.effective(weights, net.own, progress)
        kept = {name: parameters[name].clone() for name in effective}
        for name, value in effective.items():
            parameters[name].copy_(value)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in kept.items():
                parameters[name].copy_(value)
