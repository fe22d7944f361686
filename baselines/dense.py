"""The dense references: no pruning, with the budget of one training or of many."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark import RETRAIN, Batches, MaskedModel, Phase, Prune, Pruner, Scores
from benchmark.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Dense(Pruner):
    """Keep everything: the reference, and with rounds the reference of the same total epochs.

    Every round retrains the whole network with the retraining recipe, so that round r has cost what
    r rounds of pruning and retraining cost an iterative method.
    """

    rounds: int = 0  # retrainings after the dense training

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rounds < 0:
            raise UserError(f"pruner.rounds must be 0 or more, got {self.rounds}")
        if self.sparsity:
            raise UserError(f"dense removes nothing: pruner.sparsity must be 0 or left out, got {self.sparsity}")

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        return {name: torch.ones_like(w) for name, w in net.weights.items()}

    def plan(self, steps: int) -> list[Phase]:
        from benchmark import Train

        rounds = [(Prune(0.0), RETRAIN)] * self.rounds
        return [Train(0, steps), *(phase for round_ in rounds for phase in round_)]
