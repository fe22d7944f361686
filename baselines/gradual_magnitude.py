"""Gradual magnitude pruning: sparsity that rises while the network trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from benchmark import Batches, MaskedModel, Phase, ScoredPruner, Scores, prune_gradually
from benchmark.errors import UserError


@dataclass(frozen=True, kw_only=True)
class GradualMagnitude(ScoredPruner):
    """Keep the largest weights, fewer and fewer while they train: much goes early, little once few are left.

    Score: |w|.
    Source: Zhu and Gupta, 2017, arXiv:1710.01878, section 3, equation 1: from 0 at `start` to the target s at `stop`
        the sparsity is s (1 - (1 - t)^3), t the share of the way.
    Differs: one threshold for all layers, where theirs are all pruned at one rate (`--pruner.distribution uniform`).
        They choose start and stop for each network.
    When: while training.
    Looks at: weights.
    Cost: nothing but sorts.
    """

    every: Annotated[int, Ge(1)] = 100  # optimiser steps between two prunings; the paper's are 100 to 1000
    start: float = 0.0  # share of the training, in [0, stop), before sparsity begins to rise
    stop: float = 0.75  # share of the training, in (start, 1), after which it stays, and the network recovers

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.start < self.stop < 1:
            raise UserError(
                "pruner.start and pruner.stop must be rising shares of the training, in [0, 1), "
                f"got {self.start:g}, {self.stop:g}"
            )

    def plan(self, steps: int) -> list[Phase]:
        first, last = (min(round(share * steps), steps - 1) for share in (self.start, self.stop))
        times = range(first + self.every, last, self.every)
        rising = [(t, self.sparsity * (1 - (1 - (t - first) / (last - first)) ** 3)) for t in times]
        return prune_gradually([*rising, (last, self.sparsity)], steps)

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        return {name: w.abs() for name, w in net.weights.items()}
