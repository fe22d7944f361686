"""SparseGPT: what is left of a layer makes up for what goes, one column of its weights after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from benchmark import (
    Batches,
    Distribution,
    IterativePruner,
    MaskedModel,
    Prune,
    Pruned,
    Rounds,
    Scores,
    input_grams,
    keep_top,
)
from benchmark.errors import UserError


@dataclass(frozen=True, kw_only=True)
class SparseGPT(IterativePruner):
    """Keep the weights that cost a layer's output most, and change those that stay so that it hardly moves.

    Each layer by itself is to give on its inputs X what it gave before: the least squares of (W' - W) X. Columns
    are taken from the first to the last; a weight that goes leaves its error to the columns behind it, by the
    formula of the optimal brain surgeon. Which weights of a block of columns go is decided when the block begins,
    with the errors of the blocks before it already in its weights.

    When: after training.
    Looks at: weights and inputs of layers.
    Cost: 1 forward pass, and for each layer of n inputs the product and the factor of an n x n matrix.
    Score: (w / C_jj)^2 in column j, C the upper Cholesky factor of the inverse of X X^T with its dampening.
    Source: Frantar and Alistarh, "SparseGPT: massive language models can be accurately pruned in one-shot", ICML 2023,
        arXiv:2301.00774, algorithm 1; `--pruner.structure 2:4` as its semi-structured sparsity.
    Differs: the inputs are those of the network as it stands for all layers, where the authors' program passes on
        what pruned layers give; the filters of a convolution work on unfolded inputs, ordered by tap, then channel;
        the benchmark's retraining follows, `--retrain.epochs 0` is the paper's method without it.
    """

    sparsity: float = 0.5  # target of the last round, in [0, 1)
    distribution: Distribution = "uniform"  # each layer alike, the paper's, or "rows": each output unit alike
    rounds: Rounds = 1  # prune-and-retrain rounds, each removing the same share of what is left; the paper prunes once
    dampening: Annotated[float, Gt(0)] = 0.01  # added to X X^T's diagonal, as a share of its mean; the authors' code
    block: Annotated[int, Ge(1)] = 128  # columns whose masks are chosen together, the paper's; for n:m it is m

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.distribution not in ("uniform", "rows") or self.structure in ("kernels", "filters"):
            raise UserError(
                "sparsegpt prunes layer by layer, weight by weight: pruner.distribution must be uniform or rows and "
                f"pruner.structure weights or n:m, got {self.distribution}, {self.structure}"
            )

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        """What each weight costs while all others stand."""
        scores = {}
        for name, gram in input_grams(net, batches).items():
            weight = net.weights[name]
            factor = _inverse_factor(gram, weight, self.dampening)
            scores[name] = _weight(_costs(_table(weight, gram), factor), weight)
        return scores

    def prune(self, net: MaskedModel, batches: Batches, phase: Prune) -> Pruned:
        assert phase.sparsity is not None
        masks, values = dict(net.masks), {}
        for name, gram in input_grams(net, batches).items():
            weight = net.weights[name]
            table, kept = _table(weight, gram), _table(net.masks[name], gram)
            run = weight.shape[1] if ":" in self.structure else table.shape[2]  # inputs that may be one block
            self._repair(table, kept, _inverse_factor(gram, weight, self.dampening), 1 - phase.sparsity, run)
            masks[name], values[name] = _weight(kept, weight), _weight(table * kept, weight)
        return Pruned(masks, values)

    def _repair(self, table: Tensor, kept: Tensor, factor: Tensor, density: float, run: int) -> None:
        """Choose what is kept of a layer and write its new values, both in place: (groups, units, inputs)."""
        size = int(self.structure.partition(":")[2] or self.block)
        for tap in range(0, table.shape[2], run):
            for start in range(tap, tap + run, size):
                stop = min(start + size, tap + run)
                block, part = table[:, :, start:stop], factor[:, start:stop, start:stop]
                kept[:, :, start:stop] = self._best(_costs(block, part), kept[:, :, start:stop], density, start)
                errors = torch.zeros_like(block)
                for j in range(stop - start):
                    errors[:, :, j] = block[:, :, j] * ~kept[:, :, start + j] / part[:, j, j, None]
                    block[:, :, j:] -= errors[:, :, j, None] * part[:, None, j, j:]
                table[:, :, stop:] -= errors @ factor[:, start:stop, stop:]

    def _best(self, costs: Tensor, kept: Tensor, density: float, start: int) -> Tensor:
        """What is kept of a block; the shares of all blocks together are exact."""
        flat = {"": costs.flatten(0, 1)}, {"": kept.flatten(0, 1)}
        if ":" in self.structure:
            return keep_top(*flat, self.sparsity, "rows", self.structure)[""].view_as(kept)
        rows, columns = flat[0][""].shape
        rows = 1 if self.distribution == "rows" else rows  # which are rounded together
        before, after = (round(density * rows * end) for end in (start, start + columns))
        if before == after:
            return torch.zeros_like(kept)
        return keep_top(*flat, 1 - (after - before) / (rows * columns), self.distribution)[""].view_as(kept)


def _costs(table: Tensor, factor: Tensor) -> Tensor:
    return (table / factor.diagonal(dim1=1, dim2=2)[:, None]).square()


def _inverse_factor(gram: Tensor, weight: Tensor, dampening: float) -> Tensor:
    """The upper triangular C with C^T C = (gram + dampening)^-1, its inputs in the order of `_table`."""
    groups, n, inputs = len(gram), gram.shape[1], weight.shape[1]
    wide = gram if gram.device.type == "mps" else gram.double()
    wide = wide.view(groups, inputs, -1, inputs, n // inputs).permute(0, 2, 1, 4, 3).reshape(groups, n, n)
    mean = wide.diagonal(dim1=1, dim2=2).mean(1)
    diagonal = torch.where(mean > 0, dampening * mean, 1)[:, None].expand(-1, n)
    backward = torch.linalg.cholesky((wide + diagonal.diag_embed()).flip(1, 2)).flip(1, 2)  # H = U U^T, U upper
    identity = torch.eye(n, dtype=wide.dtype, device=wide.device)
    return torch.linalg.solve_triangular(backward, identity.expand_as(wide), upper=True).to(weight.dtype)


def _table(weight: Tensor, gram: Tensor) -> Tensor:
    """A copy of a weight as (groups, units of a group, inputs), by tap, then channel."""
    by_tap = weight.reshape(*weight.shape[:2], -1).transpose(1, 2)  # (out, in, taps) -> (out, taps, in)
    return by_tap.reshape(len(gram), -1, gram.shape[1]).clone()


def _weight(table: Tensor, weight: Tensor) -> Tensor:
    """The inverse of `_table`."""
    return table.reshape(len(weight), -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)
