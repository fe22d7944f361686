"""Scores become masks: exactly as many units as asked, in every group in which they compete."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor

from benchmark.errors import MethodError, UserError
from benchmark.network import Masks

Scores = dict[str, Tensor]
Distribution = Literal["global", "uniform", "erk", "rows"]
Structure = str  # "weights", "kernels", "filters", or "n:m" such as "2:4"; see `check_structure`

STRUCTURES = ("weights", "kernels", "filters")


@torch.no_grad()
def keep_top(
    scores: Scores,
    masks: Masks,
    sparsity: float,
    distribution: Distribution = "global",
    structure: Structure = "weights",
) -> Masks:
    """Masks that keep the best-scored of the units still kept, whole units of `structure`.

    A unit's score is the sum over its weights. The share 1 - sparsity of the scored weights, rounded to whole units,
    stays in every group: all together (`global`), each layer (`uniform` the same share, `erk` the Erdos-Renyi-kernel
    share, see `layer_densities`), or each output unit (`rows`). Of m neighbours along the input, `n:m` keeps n, of
    a shorter rest the same share, and at least one.
    Equal scores are kept in the order of the parameters; what is masked out is never revived. A layer whose
    filters are removed keeps its best one.

    Raises MethodError where a group has fewer units left than the target keeps.
    """
    check_sparsity(sparsity)
    chosen = {
        name: _Layer(name, score, masks[name], structure, distribution == "rows") for name, score in scores.items()
    }
    for group, density in _groups(chosen, 1 - sparsity, distribution, structure):
        _keep_best(group, density, structure)
    return {name: layer.mask() for name, layer in chosen.items()}


class _Layer:
    """One layer's units as a table: a group that competes by itself in each row, a unit in each column."""

    def __init__(self, name: str, score: Tensor, kept: Tensor, structure: Structure, by_row: bool) -> None:
        self.name, self.shape, self.structure = name, score.shape, structure
        units, self.left = _units(score * kept, structure), _units(kept, structure).any(2)
        self.scores = units.sum(2)  # (rows, units)
        self.size = units.shape[2]  # weights in a unit
        self.is_table = by_row or ":" in structure
        if not self.is_table:
            self.scores, self.left = self.scores.reshape(1, -1), self.left.reshape(1, -1)
        self.chosen = torch.zeros_like(self.left)

    def mask(self) -> Tensor:
        """The chosen units as a mask of the layer's weight."""
        return _weights(self.chosen, self.size, self.shape, self.structure)


def _units(values: Tensor, structure: Structure) -> Tensor:
    """The entries of a weight, (out, in, ...), as (groups of units, units, entries of a unit)."""
    if structure == "filters":
        return values.reshape(1, len(values), -1)
    if structure == "kernels":
        return values.reshape(*values.shape[:2], -1)
    if structure == "weights":
        return values.reshape(len(values), -1, 1)
    _, m = pattern_of(structure)
    by_position = values.reshape(*values.shape[:2], -1).transpose(1, 2).flatten(0, 1)  # (out * taps, in)
    padded = torch.nn.functional.pad(by_position, (0, -by_position.shape[1] % m))
    return padded.reshape(-1, m, 1)


def _weights(chosen: Tensor, size: int, shape: torch.Size, structure: Structure) -> Tensor:
    """The inverse of `_units` for a flag a unit."""
    if ":" not in structure:
        return chosen.reshape(-1, 1).expand(-1, size).reshape(shape)
    out, inputs, taps = shape[0], shape[1], math.prod(shape[2:])
    by_position = chosen.reshape(out * taps, -1)[:, :inputs]  # without the padding
    return by_position.reshape(out, taps, inputs).transpose(1, 2).reshape(shape)


def _groups(
    layers: Mapping[str, _Layer], density: float, distribution: Distribution, structure: Structure
) -> Iterator[tuple[list[_Layer], float]]:
    """Who competes with whom, and the share that stays of each."""
    if distribution == "global" and ":" not in structure:
        yield list(layers.values()), density
        return
    shapes = {name: tuple(layer.shape) for name, layer in layers.items()}
    share = "erk" if distribution == "erk" else "uniform"
    densities = layer_densities(shapes, density, share)
    for name, layer in layers.items():
        yield [layer], densities[name]


def _keep_best(group: list[_Layer], density: float, structure: Structure) -> None:
    """Choose the units of a group."""
    if group[0].is_table:
        (layer,) = group
        layer.chosen = _best_of_rows(layer, density)
        return
    sizes = {layer.size for layer in group}
    where = group[0].name if len(group) == 1 else "the network"
    scores, left = (torch.cat([getattr(layer, part)[0] for layer in group]) for part in ("scores", "left"))
    first = _first_of_each(group) if structure == "filters" else torch.zeros_like(left)
    if len(sizes) == 1:
        count = max(round(density * len(scores)), int(first.sum()))
        best = _top(scores.masked_fill(first, math.inf), left, count, where)
    else:
        weights = torch.cat([torch.full_like(layer.left[0], layer.size, dtype=torch.long) for layer in group])
        best = _top_by_weight(scores.masked_fill(first, math.inf), left, weights, density, where)
        best |= first
    for layer, part in zip(group, best.split([layer.left.shape[1] for layer in group]), strict=True):
        layer.chosen = part[None]


def _best_of_rows(layer: _Layer, density: float) -> Tensor:
    """The best units of each row, all rows at once; ties go to the lower index."""
    there = layer.left.sum(1)
    if ":" in layer.structure:  # the last block of a row may be short
        n, m = pattern_of(layer.structure)
        real = _real_columns(layer, m)
        counts = torch.where(real == m, n, (real * n / m).round().clamp(min=1).long())
    else:
        counts = torch.full_like(there, round(density * layer.left.shape[1]))
    if (lacking := counts > there).any():
        row = int(lacking.nonzero()[0])
        raise MethodError(
            f"row {row} of {layer.name} has {int(there[row])} units left, fewer than the {int(counts[row])} "
            "that the target sparsity keeps"
        )
    order = layer.scores.masked_fill(~layer.left, -math.inf).argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(order.shape[1]).to(order).expand_as(order))
    return rank < counts[:, None]


def _real_columns(layer: _Layer, m: int) -> Tensor:
    """How many of each block's m columns are weights and not padding."""
    blocks = -(-layer.shape[1] // m)
    real = torch.full((blocks,), m, device=layer.left.device)
    real[-1] = layer.shape[1] - m * (blocks - 1)
    return real.repeat(len(layer.left) // blocks)


def _first_of_each(group: list[_Layer]) -> Tensor:
    """The best unit of each layer."""
    parts = []
    for layer in group:
        part = torch.zeros_like(layer.left[0])
        if layer.left.any():
            part[layer.scores[0].masked_fill(~layer.left[0], -math.inf).argmax()] = True
        parts.append(part)
    return torch.cat(parts)


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


def _top_by_weight(scores: Tensor, kept: Tensor, weights: Tensor, density: float, where: str) -> Tensor:
    """The best units, as many as bring the sum of their `weights` nearest to the share `density` of all."""
    wanted = density * int(weights.sum())
    order = scores.masked_fill(~kept, -math.inf).argsort(descending=True, stable=True)[: int(kept.sum())]
    sums = torch.cat([weights.new_zeros(1), weights[order].cumsum(0)])
    if wanted > sums[-1] + weights.max() / 2:
        raise MethodError(
            f"{where} has {int(sums[-1])} weights left, fewer than the {wanted:.0f} that the target keeps"
        )
    count = int((sums - wanted).abs().argmin())
    return torch.zeros_like(kept).index_fill_(0, order[:count], True)


@torch.no_grad()
def exchange(masks: Masks, drop: Scores, grow: Scores, share: float) -> Masks:
    """Masks of equal density, layer by layer, where the lowest-scored of the kept weights gave way to others.

    Of each layer's kept weights the share `share`, rounded down, with the lowest `drop` go, and as many of the
    highest `grow` come, from those that were not kept; fewer where fewer are left. Ties go to the lower index.
    """
    exchanged = {}
    for name, mask in masks.items():
        flat = mask.flatten()
        count = min(int(share * int(flat.sum())), int((~flat).sum()))
        stay = _top(drop[name].flatten(), flat, int(flat.sum()) - count, name)
        come = _top(grow[name].flatten(), ~flat, count, name)
        exchanged[name] = (stay | come).view_as(mask)
    return exchanged


@torch.no_grad()
def missed_target(masks: Masks, sparsity: float, distribution: Distribution, structure: Structure) -> str | None:
    """Where masks are further than half a unit from a target in a group in which units compete; None where nowhere.

    A unit counts as kept where any of its weights is. A layer of filters may keep one where its share is less.
    """
    layers = {name: _Layer(name, mask.float(), mask, structure, distribution == "rows") for name, mask in masks.items()}
    for group, density in _groups(layers, 1 - sparsity, distribution, structure):
        kept = torch.cat([(layer.left * layer.size).sum(1) for layer in group]).cpu().double()
        total = torch.cat([torch.full((len(layer.left),), layer.left[0].numel() * layer.size) for layer in group])
        if ":" in structure:
            total = _real_columns(group[0], pattern_of(structure)[1]).cpu()
        if not group[0].is_table:
            kept, total = kept.sum(0, keepdim=True), total.sum(0, keepdim=True)
        half = max(layer.size for layer in group) / 2
        wanted = (density * total.double()).clamp(min=1 if ":" in structure else 0)  # float32 counts to 2^24
        least = sum(layer.size for layer in group) if structure == "filters" else -1
        off = ((kept - wanted).abs() > half * (1 + 1e-9)) & (kept > least)
        if off.any():
            row = int(off.nonzero()[0])
            where = group[0].name if len(group) == 1 else "the network"
            where = f"row {row} of {where}" if group[0].is_table else where
            return (
                f"{int(kept[row])} of {int(total[row])} weights of {where} are kept, the target keeps {wanted[row]:g}"
            )
    return None


def layer_densities(
    shapes: Mapping[str, tuple[int, ...]], density: float, distribution: Literal["uniform", "erk"]
) -> dict[str, float]:
    """The density of each layer under `uniform`, or under `erk` such that all together has `density`.

    Erdos-Renyi-kernel: proportional to (sum of the weight's dimensions) / (their product), full layers
    capped at 1 (Evci et al., ICML 2020, arXiv:1911.11134, section 3; Mocanu et al., 2018).
    """
    if distribution == "uniform":
        return dict.fromkeys(shapes, density)
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    raw = {name: sum(shape) / sizes[name] for name, shape in shapes.items()}
    full: set[str] = set()
    while True:
        wanted = density * sum(sizes.values()) - sum(sizes[name] for name in full)
        scale = wanted / sum((raw[n] * sizes[n] for n in shapes if n not in full), start=1e-300)
        over = {name for name in shapes if name not in full and raw[name] * scale > 1}
        if not over:
            return {name: 1.0 if name in full else raw[name] * scale for name in shapes}
        full |= over


def pattern_of(structure: Structure) -> tuple[int, int]:
    """n and m of `n:m`."""
    n, _, m = structure.partition(":")
    return int(n), int(m)


def check_structure(structure: Structure, distribution: Distribution, sparsity: float) -> None:
    """Raises UserError for an unknown structure, or one that does not go with the distribution or the sparsity."""
    if structure in STRUCTURES:
        if structure == "filters" and distribution == "rows":
            raise UserError("a row is one filter: pruner.structure=filters goes with global, uniform or erk")
        return
    if not re.fullmatch(r"[1-9][0-9]?:[1-9][0-9]?", structure) or (p := pattern_of(structure))[0] >= p[1]:
        raise UserError(
            f"pruner.structure must be weights, kernels, filters or n:m with n below m, such as 2:4; got {structure}"
        )
    if abs(sparsity - (1 - p[0] / p[1])) > 1e-9 or distribution == "erk":
        raise UserError(
            f"{structure} keeps {p[0]} of {p[1]} neighbours everywhere: pruner.sparsity must be {1 - p[0] / p[1]:g} "
            f"and pruner.distribution not erk, got {sparsity:g}, {distribution}"
        )


def check_sparsity(sparsity: float, name: str = "sparsity") -> None:
    """Raises UserError unless `sparsity` is a number in [0, 1)."""
    if not 0 <= sparsity < 1:
        way = f"write {sparsity / 100:g} for {sparsity:g} %" if 1 <= sparsity < 100 else "0.9 removes 90 %"
        raise UserError(f"{name} must be in [0, 1), got {sparsity:g}; {way}")
