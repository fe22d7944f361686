"""Which units of a network fire, and for which classes: the neural activity that NNrelief prunes by."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmark.data import Batch
from benchmark.network import MaskedModel, SignalRecord, Trail, layers, small_batches


@dataclass
class Firing:
    """What the units of one layer emitted, after batch norm, additions and the activation function.

    `rates` (classes, units): how often a unit is above zero, over a class's examples and all positions.
    `mean` (units,): its mean output; `silent` (units,): whether it was zero everywhere.
    """

    rates: Tensor
    mean: Tensor
    silent: Tensor

    @property
    def overlap(self) -> float:
        """How alike the firing of two classes is, in [0, 1]: sum of minima / sum of maxima, mean over all pairs."""
        first, second = torch.triu_indices(len(self.rates), len(self.rates), offset=1)
        pairs = self.rates[first], self.rates[second]
        shared, either = torch.minimum(*pairs).sum(1), torch.maximum(*pairs).sum(1)
        return (shared / either.clamp(min=torch.finfo(either.dtype).tiny)).mean().item()

    def row(self, name: str) -> dict[str, Any]:
        """What a record holds of it."""
        return {
            "name": name,
            "units": len(self.mean),
            "active_share": self.rates.mean().item(),
            "mean_activation": self.mean.mean().item(),
            "dead_units": int(self.silent.sum()),
            "class_overlap": self.overlap,
        }


def firing_patterns(net: MaskedModel, batches: list[Batch], classes: int) -> dict[str, Firing]:
    """The firing of each conv and linear layer whose units an activation function or another layer reads.

    One pass over `batches`. Classes without an example are left out of `rates`. The module is left as it was.
    """
    module = copy.deepcopy(net.module).eval()
    names = [layer.name for layer in layers(module)]
    seen: dict[str, Tensor] = {}  # by layer, of one pass: (examples, units, positions)

    def on_emit(trail: Trail, value: Tensor) -> None:
        for source in trail.sources:
            if source not in seen:  # a unit that is read at several places counts where it is read first
                seen[source] = _by_example(value, trail.dim)

    record = SignalRecord(module, names, on_emit=on_emit)
    counts = torch.zeros(classes, device=batches[0][0].device)
    sums: dict[str, list[Tensor]] = {}
    for inputs, labels in small_batches(batches):
        seen.clear()
        record.run(inputs)
        member = torch.nn.functional.one_hot(labels, classes).float().T  # (classes, examples)
        counts += member.sum(1)
        for name, value in seen.items():
            found = [member @ (value > 0).float().mean(2), value.mean(2).sum(0), (value != 0).float().sum((0, 2))]
            sums[name] = [a + b for a, b in zip(sums.get(name, [0, 0, 0]), found, strict=True)]
    there = counts > 0
    return {
        name: Firing((fired[there] / counts[there, None]).cpu(), (total / counts.sum()).cpu(), (alive == 0).cpu())
        for name, (fired, total, alive) in sums.items()
    }


def _by_example(value: Tensor, dim: int) -> Tensor:
    """(examples, units, positions)."""
    if dim == -1:
        return value.reshape(len(value), -1, value.shape[-1]).transpose(1, 2)
    return value.reshape(len(value), value.shape[1], -1)
