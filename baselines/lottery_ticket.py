"""The lottery ticket hypothesis: iterative magnitude pruning with rewinding."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark import Batches, IterativePruner, MaskedModel, Phase, Rounds, Scores, train_prune_rewind


@dataclass(frozen=True, kw_only=True)
class LotteryTicket(IterativePruner):
    """Keep the largest weights after training, put them back to their early values, train again.

    When: rewinding.
    Looks at: weights.
    Cost: nothing but a sort.
    Score: |w|.
    Source: Frankle and Carbin, ICLR 2019, arXiv:1803.03635 (20 % a round, rewound to initialisation);
        Frankle et al., ICML 2020, arXiv:1912.05671 (rewound to an early step).
    Differs: the output layer is pruned at the rate of the others, where the first paper halves it
        (`--spare fc3.weight` leaves it whole); weights compete globally, as in the second paper.
    """

    sparsity: float = 0.965  # target of the last round, in [0, 1)
    rounds: Rounds = 15  # prune-and-train rounds, each removing the same share of what is left, by default 20 %
    rewind_step: int | None = None  # step of the dense training whose weights are put back; None: after 2 % of it

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        return {name: w.abs() for name, w in net.weights.items()}

    def plan(self, steps: int) -> list[Phase]:
        # in the second paper ResNet-20 needs 3 % of the training, VGG-16 1.5 % and a LeNet nothing
        step = round(0.02 * steps) if self.rewind_step is None else self.rewind_step
        return train_prune_rewind(self.targets, steps, step)
