"""The dense references: no pruning, with the budget of one training or of many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from benchmark import RETRAIN, Batches, MaskedModel, Phase, Prune, Pruned, Pruner, Train


@dataclass(frozen=True, kw_only=True)
class Dense(Pruner):
    """Keep everything: the reference, and with rounds the reference of the same total epochs.

    Every round retrains the whole network with the retraining recipe, so that round r has cost what
    r rounds of pruning and retraining cost an iterative method.

    When: never.
    Looks at: nothing.
    Cost: nothing.
    """

    rounds: Annotated[int, Ge(0), Le(1000)] = 0  # retrainings after the dense training

    def plan(self, steps: int) -> list[Phase]:
        return [Train(0, steps), *(phase for _ in range(self.rounds) for phase in (Prune(0.0), RETRAIN))]

    def prune(self, net: MaskedModel, batches: Batches, phase: Prune) -> Pruned:
        return Pruned(dict(net.masks))
