"""The lottery ticket hypothesis: iterative magnitude pruning with rewinding."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark import Batches, MaskedModel, Phase, Pruner, Scores, train_prune_rewind
from benchmark.errors import UserError


@dataclass(frozen=True, kw_only=True)
class LotteryTicket(Pruner):
    """Keep the largest weights after training, put them back to their early values, train again.

    Score: |w|.
    Source: Frankle and Carbin, ICLR 2019, arXiv:1803.03635 (20 % a round, rewound to initialisation);
        Frankle et al., ICML 2020, arXiv:1912.05671 (rewound to an early step).
    Differs: the output layer is pruned at the rate of the others, where the first paper halves it
        (`--spare fc3.weight` leaves it whole); weights compete globally, as in the second paper.
    """

    rounds: int = 15  # prune-and-train rounds; 15 leave 3.5 % of the weights
    rate: float = 0.2  # share of the kept weights removed in each round
    rewind_step: int = 0  # optimiser step of the dense training whose weights are put back

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sparsity is not None:
            raise UserError("lottery_ticket takes no pruner.sparsity: pruner.rate and pruner.rounds give it")
        if self.rounds < 1:
            raise UserError(f"pruner.rounds must be at least 1, got {self.rounds}")
        if not 0 < self.rate < 1:
            raise UserError(f"pruner.rate must be in (0, 1), got {self.rate}; 0.2 removes 20 % a round")

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        return {name: w.abs() for name, w in net.weights.items()}

    def plan(self, steps: int) -> list[Phase]:
        sparsities = [1 - (1 - self.rate) ** i for i in range(1, self.rounds + 1)]
        return train_prune_rewind(sparsities, steps, self.rewind_step)
