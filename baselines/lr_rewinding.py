"""Learning-rate rewinding: iterative magnitude pruning that repeats the training's learning rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt, Le

from benchmark import Batches, IterativePruner, MaskedModel, Phase, Rounds, Scores, train_prune_rewind


@dataclass(frozen=True, kw_only=True)
class LRRewinding(IterativePruner):
    """Keep the largest weights after training, at their trained values, and train again as in the beginning.

    Score: |w|.
    Source: Renda, Frankle and Carbin, ICLR 2020, arXiv:2003.02389, algorithm 1: globally, 20 % a round, the
        learning rates of the last steps of training repeated, of the whole training in their algorithm.
    When: rewinding.
    Looks at: weights.
    Cost: nothing but a sort.
    """

    sparsity: float = 0.965  # target of the last round, in [0, 1)
    rounds: Rounds = 15  # prune-and-train rounds, each removing the same share of what is left, here 20 %
    retrain_share: Annotated[float, Gt(0), Le(1)] = 1.0  # share of the training, its end, that a round repeats

    def plan(self, steps: int) -> list[Phase]:
        start = min(steps - 1, steps - round(self.retrain_share * steps))
        return train_prune_rewind(self.targets, steps, start, weights=False)

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        return {name: w.abs() for name, w in net.weights.items()}
