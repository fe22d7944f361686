"""Fine-tuning: iterative magnitude pruning that trains on at the last learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt, Le

from benchmark import Batches, IterativePruner, MaskedModel, Phase, Rounds, Scores, train_prune_train_on


@dataclass(frozen=True, kw_only=True)
class FineTuning(IterativePruner):
    """Keep the largest weights after training, at their trained values, and train on at the last learning rate.

    Score: |w|.
    Source: Renda, Frankle and Carbin, ICLR 2020, arXiv:2003.02389, their account of Han et al., NIPS 2015,
        arXiv:1506.02626: globally, 20 % a round. `lr_rewinding` has the same options and differs in the rate alone;
        `magnitude` retrains with the retraining recipe.
    When: after training.
    Looks at: weights.
    Cost: nothing but a sort.
    """

    sparsity: float = 0.965  # target of the last round, in [0, 1)
    rounds: Rounds = 15  # prune-and-train rounds, each removing the same share of what is left, here 20 %
    retrain_share: Annotated[float, Gt(0), Le(1)] = 1.0  # length of each retraining, as a share of the training

    def plan(self, steps: int) -> list[Phase]:
        length = max(1, round(self.retrain_share * steps))
        return train_prune_train_on(self.targets, steps, length)

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        return {name: w.abs() for name, w in net.weights.items()}
