"""Random pruning: what a mask is worth that looked at nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark import Batches, MaskedModel, ScoredPruner, Scores


@dataclass(frozen=True, kw_only=True)
class Random(ScoredPruner):
    """Keep weights drawn at random, before any training: the floor that a method has to beat.

    When: at initialisation.
    Looks at: nothing.
    Cost: nothing.
    Score: uniform noise.
    Source: Liu et al., "The unreasonable effectiveness of random pruning", ICLR 2022,
        arXiv:2202.02643; `--pruner.distribution erk` gives their layer densities.
    """

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        return {name: torch.rand(w.shape).to(w.device) for name, w in net.weights.items()}
