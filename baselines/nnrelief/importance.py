"""How much each incoming connection gives to a unit, and the few that together give most."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.network import LayerCall, patches

Formula = Literal["paper", "released"]
Norm = Literal["frobenius", "sum"]

WORK_ELEMENTS = 1 << 22  # numbers of an intermediate result held at once, 16 MiB
GRAM_ELEMENTS = 1 << 26  # numbers (in * out * taps^2) up to which products of a kernel's taps are held, 128 MiB


class ConnectionSignals:
    """Collects, call by call, what each connection of a layer gives to its unit; see `importance`.

    Of a linear layer, weight i -> j: |w_ji| * mean |x_i|, over the examples and, where there are
    any, tokens; its bias: |b_j|. Of a convolution, kernel c -> k, by `formula`:

    - `paper`: the mean over examples of the norm of |K_kc| * |x_c| over output positions;
    - `released`: the norm of |K_kc| * (mean over examples of |x_c|);

    its bias: the norm of |b_k| at each position. The norm is Frobenius' or the `sum` over positions.
    """

    def __init__(self, formula: Formula, norm: Norm) -> None:
        self.formula: Formula = formula
        self.norm: Norm = norm
        self._sums: dict[tuple[str, int, torch.Size], tuple[LayerCall, Tensor, int]] = {}

    def add(self, call: LayerCall, inputs: Tensor) -> None:
        """Take in one use of a layer."""
        convolution = bool(call.stride)
        signals = inputs.abs() if convolution else inputs.abs().flatten(0, -2)
        by_example = convolution and self.formula == "paper"
        found = kernel_signals(call, signals, self.norm) if by_example else signals.sum(0)
        key = (call.name, call.first, inputs.shape[1:])
        _, before, count = self._sums.get(key, (None, 0, 0))
        self._sums[key] = (call, before + found, count + len(signals))

    @property
    def names(self) -> set[str]:
        """The layers that were used."""
        return {name for name, _, _ in self._sums}

    def importance(self, name: str) -> Tensor:
        """(units, connections), the bias last where there is one; of a layer used at several places, the sum."""
        found = [(first, self._importance(*seen)) for (layer, first, _), seen in self._sums.items() if layer == name]
        units = max(first + len(part) for first, part in found)
        return torch.stack([F.pad(part, (0, 0, first, units - first - len(part))) for first, part in found]).sum(0)

    def _importance(self, call: LayerCall, total: Tensor, count: int) -> Tensor:
        mean = total / count
        if not call.stride:
            weights = call.weight.abs() * mean
        else:
            weights = mean if self.formula == "paper" else kernel_signals(call, mean[None], self.norm)
        if call.bias is None:
            return weights
        bias = call.bias.abs() * (call.positions if self.norm == "sum" else call.positions**0.5)
        return torch.cat([weights, bias[:, None]], 1)


def kernel_signals(call: LayerCall, signals: Tensor, norm: Norm) -> Tensor:
    """The norm over positions of each kernel's output map, summed over examples; (out, in / groups).

    `signals` (n, in, ...) are the magnitudes of the inputs. With U the matrix (taps, positions) of what
    a kernel k reads of one channel of one example, ||k * x||_F^2 = k^T (U U^T) k: the Gram matrix of a
    channel serves all its kernels, and no output map is made. Only kernels of very many taps, such as
    a transformer's patches, have larger Gram matrices than maps: theirs are made.
    """
    out, per_group = call.weight.shape[:2]
    kernels = call.weight.abs().view(call.groups, out // call.groups, per_group, -1)
    kernels = kernels.permute(0, 2, 3, 1).flatten(0, 1)  # -> (in, taps, out / groups)
    channels, taps, users = kernels.shape
    held = max(taps * call.positions, taps * taps, users)  # numbers for each channel of an example
    if norm == "sum":
        summed = _sum_of_maps
    elif kernels.numel() * taps > GRAM_ELEMENTS:
        summed, held = _frobenius_by_maps, max(taps, users) * call.positions
    else:
        summed, kernels = _frobenius_by_gram, _products_of_taps(kernels)
    sums = torch.zeros(channels, users, dtype=kernels.dtype, device=kernels.device)
    for part in signals.split(max(1, WORK_ELEMENTS // (channels * held))):
        sums += summed(kernels, patches(part, call))
    return sums.view(call.groups, per_group, users).transpose(1, 2).reshape(out, per_group)


def _sum_of_maps(kernels: Tensor, read: Tensor) -> Tensor:
    """From kernels (in, taps, users) and patches (n, in, taps, positions) to (in, users), summed over n."""
    return (read.sum((0, 3))[:, None] @ kernels).squeeze(1)


def _frobenius_by_maps(kernels: Tensor, read: Tensor) -> Tensor:
    """As above: the norms of the maps instead of their sums."""
    return (kernels.transpose(1, 2) @ read).norm(dim=3).sum(0)


def _frobenius_by_gram(products: Tensor, read: Tensor) -> Tensor:
    """The same, from products of taps (in, pairs, users)."""
    examples, channels, taps, _ = read.shape
    first, second = torch.triu_indices(taps, taps, device=read.device)
    read = read.flatten(0, 1)
    gram = (read @ read.transpose(1, 2)).view(examples, channels, taps * taps)
    gram = gram.index_select(2, first * taps + second).transpose(0, 1).contiguous()
    return (gram @ products).sqrt_().sum(1)  # (in, n, users) -> (in, users)


def _products_of_taps(kernels: Tensor) -> Tensor:
    """k_a k_b for every pair of taps a <= b, doubled where a < b; (in, pairs, users)."""
    first, second = torch.triu_indices(kernels.shape[1], kernels.shape[1], device=kernels.device)
    products = kernels.index_select(1, first) * kernels.index_select(1, second)
    return products.mul_(1.0 + (first != second)[:, None])


def largest_share(importance: Tensor, alpha: float, grouped: bool = False) -> Tensor:
    """For each unit (row), the connections that carry at least the share `alpha` of its signal.

    With s_0 >= s_1 >= ... a unit's n importances, p the number of prefix sums strictly below alpha times
    their total, and t = min(p + 1, n - 1), those above s_t are kept: ties with the first one removed
    go too, and so does whatever is 0. So the weakest always goes, which from a unit of very few takes
    most of its signal. A unit's only connection carries all and stays if it is above 0, and of a
    `grouped` (depthwise) convolution's two, a kernel and its bias, the weaker one goes only where it
    carries 1 - alpha or less, and neither where they are equal.
    """
    connections = importance.shape[1]
    if connections == 1:
        return importance > 0
    ordered = importance.sort(1, descending=True).values
    if connections == 2 and grouped:
        carries = importance > (1 - alpha) * importance.sum(1, keepdim=True)
        return (carries | (importance == ordered[:, :1])) & (importance > 0)
    below = ordered.cumsum(1) < alpha * importance.sum(1, keepdim=True)
    last = (below.sum(1, keepdim=True) + 1).clamp(max=connections - 1)
    return importance > ordered.gather(1, last)
