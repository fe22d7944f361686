"""Movement pruning: weights that training moves away from zero, by scores that are trained with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge

from benchmark import Batches, MaskedModel, Phase, ScoredPruner, Scores, SoftPruner, Tensors, keep_top, train_softly
from benchmark.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Movement(SoftPruner, ScoredPruner):
    """Keep the weights that training moves away from zero, not those that are large.

    Score: S, trained beside the weights from 0. The network computes with w where S is among the best; the gradient
        passes straight through that choice, dL/dS = w * dL/d(effective w), so that S sums up how w moved.
    Source: Sanh, Wolf and Rush, NeurIPS 2020, arXiv:2005.07683, sections 3 and 4: the share kept falls with the cube
        of the way from the end of a warm-up to the beginning of a cool-down (10 % and 20 % in their code for SQuAD).
    Differs: scores compete globally, where the paper's do in each matrix (`--pruner.distribution uniform`), are trained
        by the network's optimiser at its learning rate, and from initial instead of pretrained weights.
    When: while training.
    Looks at: scores trained with the weights.
    Cost: trains as the dense network does, and sorts.
    """

    warmup: Annotated[float, Ge(0)] = 0.1  # share of the training before anything is left out; the authors' code
    cooldown: Annotated[float, Ge(0)] = 0.2  # share of the training at the target, at the end; the authors' code

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup + self.cooldown >= 1:
            raise UserError(
                "pruner.warmup and pruner.cooldown must be shares of the training that leave some between them, "
                f"got {self.warmup:g}, {self.cooldown:g}"
            )
        if self.structure == "filters":
            raise UserError("movement scores single weights: pruner.structure must be weights, kernels or n:m")

    def plan(self, steps: int) -> list[Phase]:
        return train_softly(self.sparsity, steps)

    def start(self, net: MaskedModel) -> Tensors:
        return {name: torch.zeros_like(w) for name, w in net.weights.items()}

    def effective(self, weights: Tensors, own: Tensors, progress: float) -> Tensors:
        way = (progress - self.warmup) / (1 - self.warmup - self.cooldown)
        sparsity = self.sparsity * (1 - (1 - min(1.0, max(0.0, way))) ** 3)
        whole = {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()}
        masks = keep_top(own, whole, sparsity, self.distribution, self.structure)
        through = {name: score - score.detach() for name, score in own.items()}  # 0, with the gradient of S
        return {name: w * masks[name] + w.detach() * through[name] for name, w in weights.items()}

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        return {name: net.own[name].detach() for name in net.weights}
