"""SET, sparse evolutionary training: weights that stay small give way to new ones at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt

from benchmark import Batches, MaskedModel, Phase, Scores, SparseTraining, train_sparsely


@dataclass(frozen=True, kw_only=True)
class SET(SparseTraining):
    """Keep the weights that grow, sparse from the start: again and again the smallest go and random ones come.

    Score: |w|; grown is what noise says.
    Source: Mocanu et al., Nature Communications 2018, arXiv:1707.04780, algorithm 1: Erdos-Renyi densities, the share
        zeta = 0.3 of the smallest positive and the largest negative weights. For convolutions: Erdos-Renyi-kernel
        densities and an exchange every 100 steps, as in Evci et al., ICML 2020, arXiv:1911.11134.
    Differs: one threshold for both signs; the paper exchanges after each epoch (`--pruner.every`); what just
        gave way does not come back at once.
    When: while training.
    Looks at: weights.
    Cost: nothing but sorts.
    """

    every: Annotated[int, Ge(1)] = 100  # optimiser steps between two exchanges; Evci et al. 2020
    swap: Annotated[float, Gt(0), Lt(1)] = 0.3  # share of each layer's kept weights that is exchanged; the paper's zeta

    def plan(self, steps: int) -> list[Phase]:
        return train_sparsely(self.sparsity, steps, self.every, steps, lambda share: self.swap)

    def grow_score(self, net: MaskedModel, batches: Batches) -> Scores:
        return {name: torch.rand(w.shape).to(w.device) for name, w in net.weights.items()}
