"""Learning-rate rewinding: iterative magnitude pruning that repeats the training's learning rates."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark import (
    Batches,
    MaskedModel,
    Phase,
    ScoredPruner,
    Scores,
    check_retraining,
    geometric_sparsities,
    train_prune_rewind,
)


@dataclass(frozen=True, kw_only=True)
class LRRewinding(ScoredPruner):
    """Keep the largest weights after training, at their trained values, and train again as in the beginning.

    Score: |w|.
    Source: Renda, Frankle and Carbin, ICLR 2020, arXiv:2003.02389, sections 2 and 6, algorithm 1: globally, 20 % a
        round, the learning rates of the last steps of training repeated, of the whole training in their algorithm.
    When: rewinding.
    Looks at: weights.
    Cost: nothing but a sort.
    """

    sparsity: float = 0.965  # target of the last round, in [0, 1)
    rounds: int = 15  # at least 1: prune-and-train rounds, each removing the same share of what is left, here 20 %
    retrain_share: float = 1.0  # share of the training, its end, that each round repeats, in (0, 1]; the paper's

    def __post_init__(self) -> None:
        super().__post_init__()
        check_retraining(self.rounds, self.retrain_share)

    def plan(self, steps: int) -> list[Phase]:
        start = min(steps - 1, steps - round(self.retrain_share * steps))
        return train_prune_rewind(geometric_sparsities(self.sparsity, self.rounds), steps, start, weights=False)

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        return {name: w.abs() for name, w in net.weights.items()}
