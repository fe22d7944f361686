"""What the weights of each layer read, as scores look at it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.data import Batches
from benchmark.network import LayerCall, MaskedModel, SignalRecord, patches, small_batches

WORK_ELEMENTS = 1 << 24  # numbers of unfolded inputs held at once, 64 MiB
GRAM_ROWS = 128  # of a Gram matrix, at least, computed together


def input_norms(net: MaskedModel, batches: Batches) -> dict[str, Tensor]:
    """The 2-norm, over examples and positions, of what each weight multiplies; broadcasts to the weights.

    Inputs are those of the network in evaluation mode.
    """

    def squares(read: Tensor) -> Tensor:  # (groups, n, taps of a group, positions)
        return read.square().sum((1, 3))

    sums = _summed(net, batches, squares)
    return {name: _broadcast(total.sqrt(), net.weights[name]) for name, total in sums.items()}


def input_grams(net: MaskedModel, batches: Batches) -> dict[str, Tensor]:
    """X X^T of what the weights of each layer multiply, (groups, n, n), n the flattened weights of one unit."""

    def gram(read: Tensor) -> Tensor:
        flat = read.transpose(1, 2).flatten(2)  # (groups, n, examples * positions)
        n = flat.shape[1]
        step = max(GRAM_ROWS, -(-n // 8))
        rows = [F.pad(flat[:, i : i + step] @ flat[:, i:].transpose(1, 2), (i, 0)) for i in range(0, n, step)]
        upper = torch.cat(rows, 1).triu()  # a Gram matrix is symmetric: nearly half the work is not done twice
        return upper + upper.triu(1).transpose(1, 2)

    return _summed(net, batches, gram)


def _summed(net: MaskedModel, batches: Batches, measure: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """The sum of `measure` over pieces of what each layer reads, by weight; zeros for layers that are not used."""
    sums: dict[str, dict[int, Tensor]] = {}  # by layer and its first unit: parts of attention read different inputs

    def on_call(call: LayerCall, inputs: Tensor) -> None:
        for part in inputs.split(max(1, WORK_ELEMENTS // max(1, _elements(call, inputs)))):
            read = _read(part, call)
            found = measure(read.reshape(len(read), call.groups, -1, read.shape[-1]).transpose(0, 1))
            parts = sums.setdefault(call.name, {})
            parts[call.first] = parts[call.first] + found if call.first in parts else found

    record = SignalRecord(copy.deepcopy(net.module).eval(), list(net.layers), on_call)
    for inputs, _ in small_batches(batches):
        record.run(inputs)
    for name, layer in net.layers.items():
        if name not in sums:
            sums[name] = {0: measure(layer.parameter.detach().new_zeros(1, 1, layer.parameter[0].numel(), 1))}
    return {layer.weight: torch.cat([part for _, part in sorted(sums[n].items())]) for n, layer in net.layers.items()}


def _read(inputs: Tensor, call: LayerCall) -> Tensor:
    """(n, weights of a unit, positions): the inputs unfolded; tokens of a linear layer are positions."""
    if call.stride:
        return patches(inputs, call).flatten(1, 2)
    return inputs.reshape(len(inputs), -1, inputs.shape[-1]).transpose(1, 2)


def _elements(call: LayerCall, inputs: Tensor) -> int:
    """Numbers that one example unfolds to."""
    taps = call.weight[0, 0].numel() if call.stride else 1
    return inputs[0].numel() * taps


def _broadcast(values: Tensor, weight: Tensor) -> Tensor:
    """(groups, n) as (1 or out, in, ...)."""
    spread = values if len(values) == 1 else values.repeat_interleave(len(weight) // len(values), 0)
    return spread.reshape(-1, *weight.shape[1:])
