"""RigL: sparse from the start, weights that stay small give way to those with the largest gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from benchmark import Batches, MaskedModel, Phase, Scores, SparseTraining, loss_gradients, train_sparsely


@dataclass(frozen=True, kw_only=True)
class RigL(SparseTraining):
    """Keep the weights that grow, sparse from the start: the smallest go, those that the loss asks for come.

    Score: |w|; grown is the largest |dL/dw|, L the mean loss over `batches`.
    Source: Evci et al., ICML 2020, arXiv:1911.11134, section 3 and algorithm 1: Erdos-Renyi-kernel densities, an
        exchange every 100 steps of the share alpha / 2 (1 + cos(pi t / T)) until T, 75 % of the training.
    Differs: the gradient is that of `batches`, not of one training batch; what just gave way does not come back at
        once.
    When: while training.
    Looks at: weights and gradients.
    Cost: 1 forward and 1 backward pass at each exchange.
    """

    every: Annotated[int, Ge(1)] = 100  # optimiser steps between two exchanges; the paper's delta T
    swap: Annotated[float, Gt(0), Lt(1)] = 0.3  # share of a layer's kept weights exchanged at first; the paper's alpha
    stop: Annotated[float, Gt(0), Le(1)] = 0.75  # share of the training after which the masks stay; the paper's T_end

    def plan(self, steps: int) -> list[Phase]:
        def swap(share: float) -> float:
            return self.swap / 2 * (1 + math.cos(math.pi * share))

        return train_sparsely(self.sparsity, steps, self.every, round(self.stop * steps), swap)

    def grow_score(self, net: MaskedModel, batches: Batches) -> Scores:
        return {name: gradient.abs() for name, gradient in loss_gradients(net, batches).items()}
