"""LAMP: magnitude pruning whose scores find the layers' densities by themselves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark import Batches, IterativePruner, MaskedModel, Scores


@dataclass(frozen=True, kw_only=True)
class LAMP(IterativePruner):
    """Keep the weights that are large beside those of their layer that would outlive them, retrain, and repeat.

    Within a layer the order is that of magnitude; between layers a score is the share of the layer's energy that
    goes with the weight, given that all smaller ones are gone, so the last weight of every layer scores 1.

    When: after training.
    Looks at: weights.
    Cost: nothing but a sort.
    Score: w^2 / (sum of the squares of the layer's weights that are as large or larger).
    Source: Lee, Park, Mo, Ahn and Shin, "Layer-adaptive sparsity for the magnitude-based pruning", ICLR 2021,
        arXiv:2010.07611; iterative as in its experiments.
    Differs: the retraining recipe is the benchmark's; the paper prunes a fifth of what is left in every round.
    """

    sparsity: float = 0.95  # target of the last round, in [0, 1)

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        return {name: _share_of_survivors(w.square()) for name, w in net.weights.items()}


def _share_of_survivors(squares: Tensor) -> Tensor:
    """Each entry over the sum of itself and all that are larger; of equal ones the first is the larger."""
    falling, order = squares.flatten().sort(descending=True, stable=True)
    shares = falling / falling.cumsum(0).clamp(min=torch.finfo(squares.dtype).tiny)
    return torch.empty_like(shares).scatter_(0, order, shares).view_as(squares)
