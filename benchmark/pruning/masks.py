"""Masks: which parameters a network still has, and how scores become masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from benchmark.errors import MethodError, UserError
from benchmark.network import MaskedModel, Masks

Scores = dict[str, Tensor]
Distribution = Literal["global", "uniform", "erk"]


@torch.no_grad()
def keep_top(scores: Scores, masks: Masks, sparsity: float, distribution: Distribution) -> Masks:
    """Masks that keep the best-scored of the weights still kept.

    Of n scored weights exactly round((1 - sparsity) * n) stay: of all together (`global`) or of each
    layer (`uniform` the same share, `erk` the Erdos-Renyi-kernel share, see `layer_densities`).
    Equal scores are kept in the order of the parameters; what is masked out is never revived.

    Raises MethodError where fewer weights are left than the target keeps, or a score is not finite.
    """
    check_sparsity(sparsity)
    for name, score in scores.items():
        if not torch.isfinite(score).all():
            raise MethodError(f"the scores of {name} are not all finite")
    if distribution == "global":
        flat = torch.cat([s.flatten() for s in scores.values()])
        kept = torch.cat([masks[name].flatten() for name in scores])
        top = _top(flat, kept, round((1 - sparsity) * flat.numel()), "the network")
        parts = top.split([s.numel() for s in scores.values()])
        return {name: part.view_as(s) for (name, s), part in zip(scores.items(), parts, strict=True)}
    densities = layer_densities({n: tuple(s.shape) for n, s in scores.items()}, 1 - sparsity, distribution)
    return {
        name: _top(s.flatten(), masks[name].flatten(), round(densities[name] * s.numel()), name).view_as(s)
        for name, s in scores.items()
    }


def layer_densities(
    shapes: Mapping[str, tuple[int, ...]], density: float, distribution: Distribution
) -> dict[str, float]:
    """The density of each layer under `uniform`, or under `erk` such that all together has `density`.

    Erdos-Renyi-kernel: proportional to (sum of the weight's dimensions) / (their product), full layers
    capped at 1 (Evci et al., ICML 2020, arXiv:1911.11134, section 3; Mocanu et al., 2018).
    """
    if distribution == "uniform":
        return dict.fromkeys(shapes, density)
    sizes = {name: _product(shape) for name, shape in shapes.items()}
    raw = {name: sum(shape) / sizes[name] for name, shape in shapes.items()}
    full: set[str] = set()
    while True:
        wanted = density * sum(sizes.values()) - sum(sizes[name] for name in full)
        scale = wanted / sum((raw[n] * sizes[n] for n in shapes if n not in full), start=1e-300)
        over = {name for name in shapes if name not in full and raw[name] * scale > 1}
        if not over:
            return {name: 1.0 if name in full else raw[name] * scale for name in shapes}
        full |= over


def check_masks(net: MaskedModel, masks: Masks, sparsity: float | None) -> None:
    """Raises MethodError where a mask does not fit its tensor or the target sparsity is missed.

    Each layer's count may be off its exact share by rounding, half a weight.
    """
    tensors = net.tensors()
    for name, mask in masks.items():
        if name not in tensors:
            raise MethodError(f"there is a mask for '{name}', which the network does not have")
        if mask.dtype != torch.bool or mask.shape != tensors[name].shape:
            fits = f"bool, {tuple(tensors[name].shape)}"
            raise MethodError(f"the mask of {name} must be {fits}, it is {mask.dtype}, {tuple(mask.shape)}")
    if sparsity is not None:
        kept = [int(masks.get(name, net.masks[name]).sum()) for name in net.weights]
        total = sum(w.numel() for w in net.weights.values())
        wanted = (1 - sparsity) * total
        if abs(sum(kept) - wanted) > (len(kept) + 1) / 2:
            raise MethodError(f"{sum(kept)} of {total} weights are kept, the target sparsity keeps {wanted:.0f}")


def check_sparsity(sparsity: float, name: str = "sparsity") -> None:
    """Raises UserError unless `sparsity` is a number in [0, 1)."""
    if not 0 <= sparsity < 1:
        way = f"write {sparsity / 100:g} for {sparsity:g} %" if 1 <= sparsity < 100 else "0.9 removes 90 %"
        raise UserError(f"{name} must be in [0, 1), got {sparsity:g}; {way}")


def _top(scores: Tensor, kept: Tensor, count: int, where: str) -> Tensor:
    """The mask of the `count` best of `scores` among `kept`; ties go to the lower index."""
    available = int(kept.sum())
    if count > available:
        raise MethodError(
            f"{where} has {available} weights left, fewer than the {count} that the target sparsity keeps"
        )
    if count == 0:
        return torch.zeros_like(kept)
    candidates = scores[kept]
    threshold = candidates.kthvalue(available - count + 1).values
    above = candidates > threshold
    tied = candidates == threshold
    chosen = above | (tied & (tied.cumsum(0) <= count - above.sum()))
    return torch.zeros_like(kept).masked_scatter_(kept, chosen)


def _product(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size
