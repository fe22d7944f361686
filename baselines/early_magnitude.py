"""Magnitude before or early in training: what the largest weights are worth when little was learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from benchmark import Batches, MaskedModel, Phase, ScoredPruner, Scores, prune_at_init, prune_gradually


@dataclass(frozen=True, kw_only=True)
class EarlyMagnitude(ScoredPruner):
    """Keep the largest weights at initialisation, or after the first steps of training, and train on.

    Score: |w|.
    Source: Frankle, Dziugaite, Roy and Carbin, ICLR 2021, arXiv:2009.08576: magnitude at initialisation, and
        pruning after the first steps.
    When: at initialisation.
    Looks at: weights.
    Cost: nothing but a sort.
    """

    step: Annotated[int, Ge(0)] = 0  # step of the training, below its end, after which is pruned; 0: before it

    def plan(self, steps: int) -> list[Phase]:
        if self.step == 0:
            return prune_at_init(self.sparsity, steps)
        return prune_gradually([(self.step, self.sparsity)], steps)

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        return {name: w.abs() for name, w in net.weights.items()}
