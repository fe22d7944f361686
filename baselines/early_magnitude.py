"""Magnitude before or early in training: what the largest weights are worth when little was learned."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark import Batches, MaskedModel, Phase, ScoredPruner, Scores, prune_at_init, prune_gradually
from benchmark.errors import UserError


@dataclass(frozen=True, kw_only=True)
class EarlyMagnitude(ScoredPruner):
    """Keep the largest weights at initialisation, or after the first steps of training, and train on.

    Score: |w|.
    Source: Frankle, Dziugaite, Roy and Carbin, ICLR 2021, arXiv:2009.08576: magnitude at initialisation (section 3),
        and pruning after the first steps (section 6).
    When: at initialisation.
    Looks at: weights.
    Cost: nothing but a sort.
    """

    step: int = 0  # optimiser step, below those of the training, after which the weights are pruned; 0: before any

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.step < 0:
            raise UserError(f"pruner.step must be 0 or more, got {self.step}")

    def plan(self, steps: int) -> list[Phase]:
        if self.step == 0:
            return prune_at_init(self.sparsity, steps)
        return prune_gradually([(self.step, self.sparsity)], steps)

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        return {name: w.abs() for name, w in net.weights.items()}
