"""A use of a conv or linear layer: its parameters and geometry, and what each tap of its kernels reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class LayerCall:
    """One use of a conv or linear layer (`name`), or of its units from `first` on: their parameters and geometry."""

    name: str
    weight: Tensor
    bias: Tensor | None
    first: int = 0
    positions: int = 1  # output height x width
    stride: tuple[int, ...] = ()  # as the following: one number a spatial dimension, none for a linear layer
    padding: tuple[tuple[int, int], ...] = ()  # before and after
    dilation: tuple[int, ...] = ()
    groups: int = 1


def patches(signals: Tensor, call: LayerCall) -> Tensor:
    """What each tap of a convolution's kernels reads at each position; (n, in, taps, positions)."""
    read = F.pad(signals, [amount for pair in reversed(call.padding) for amount in pair])
    sizes = call.weight.shape[2:]
    for dim, (size, stride, dilation) in enumerate(zip(sizes, call.stride, call.dilation, strict=True), 2):
        read = read.unfold(dim, (size - 1) * dilation + 1, stride)[..., ::dilation]
    order = [0, 1, *range(2 + len(sizes), read.dim()), *range(2, 2 + len(sizes))]
    return read.permute(order).reshape(*read.shape[:2], sizes.numel(), -1)


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, dict[str, Any]]:
    return input, {"weight": weight, "bias": bias}


def _conv(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, ...] = 1,
    padding: int | str | tuple[int, ...] = 0,
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
) -> tuple[Tensor, dict[str, Any]]:
    dims = weight.dim() - 2
    spread = _each(dilation, dims)
    if padding == "same":
        totals = [d * (k - 1) for d, k in zip(spread, weight.shape[2:], strict=True)]
        pads = tuple((t // 2, t - t // 2) for t in totals)
    else:
        pads = tuple((p, p) for p in _each(0 if isinstance(padding, str) else padding, dims))
    geometry = {"stride": _each(stride, dims), "padding": pads, "dilation": spread, "groups": groups}
    return input, {"weight": weight, "bias": bias, **geometry}


BINDERS: dict[Any, Callable[..., tuple[Tensor, dict[str, Any]]]] = {
    F.linear: _linear,
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), _conv),
}


def _each(value: int | tuple[int, ...], dims: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * dims if len(values) == 1 else values
