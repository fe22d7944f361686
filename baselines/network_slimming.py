"""Network slimming: the scales of batch norms are driven towards zero in training, and filters with small ones go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from benchmark import (
    RETRAIN,
    Batches,
    MaskedModel,
    Phase,
    Prune,
    Pruned,
    ScoredPruner,
    Scores,
    SoftPruner,
    Structure,
    Tensors,
    Train,
    batch_norms,
)
from benchmark.errors import UserError


@dataclass(frozen=True, kw_only=True)
class NetworkSlimming(SoftPruner, ScoredPruner):
    """Keep the filters whose batch norm learnt a large scale under an L1 penalty on scales; retrain without it.

    While it trains, the scales of all batch norms are the method's own tensors. With a filter go its bias, its
    batch norm and the connections that read it, so the network that is left is a smaller dense one.

    When: after training.
    Looks at: batch-norm scales.
    Cost: a training of its own; the scores cost nothing.
    Score: |gamma| of the batch norm that reads the filter.
    Source: Liu, Li, Shen, Huang, Yan and Zhang, "Learning efficient convolutional networks through network slimming",
        ICCV 2017, arXiv:1708.06519, section 3; one threshold for all layers.
    Differs: the target is a share of the filters' weights, not of the channels; scales start as the network has them,
        where the paper sets them to 0.5; layers without a batch norm come last. Networks with none are refused.
    """

    sparsity: float = 0.7  # share of the weights of removable filters that goes, in [0, 1); the paper: of channels
    structure: Structure = "filters"  # and nothing else
    penalty_weight: Annotated[float, Ge(0)] = 1e-4  # of the sum of |gamma|; the paper: 1e-4 for VGG, 1e-5 for ResNets

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.structure != "filters":
            raise UserError(f"network_slimming removes filters: pruner.structure must be filters, got {self.structure}")

    def plan(self, steps: int) -> list[Phase]:
        return [Prune(0.0), Train(0, steps), Prune(self.sparsity), RETRAIN]

    def start(self, net: MaskedModel) -> Tensors:
        norms = {n: m for n, m in net.module.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
        if not (scales := {f"{n}.weight": m.weight.detach() for n, m in norms.items() if m.affine}):
            raise UserError("network_slimming needs a network with batch norms that have scales; this one has none")
        return scales

    def effective(self, weights: Tensors, own: Tensors, progress: float) -> Tensors:
        return {**weights, **own}

    def penalty(self, weights: Tensors, own: Tensors, progress: float) -> Tensor:
        return self.penalty_weight * torch.stack([scale.abs().sum() for scale in own.values()]).sum()

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        norms = batch_norms(net, batches[0][0][:1])
        scales = {name: scale.detach().abs() for name, scale in net.own.items()}
        last = 1 + max(float(scale.max()) for scale in scales.values())  # of layers without a batch norm
        scores = {}
        for name, weight in net.weights.items():
            scale = scales.get(f"{norms.get(name)}.weight", weight.new_full((len(weight),), last))
            scores[name] = (scale / weight[0].numel()).view(-1, *[1] * (weight.dim() - 1)).expand_as(weight)
        return scores

    def prune(self, net: MaskedModel, batches: Batches, phase: Prune) -> Pruned:
        if not phase.sparsity:
            return Pruned(dict(net.masks))
        own = {name: scale.detach() for name, scale in net.own.items()}
        return Pruned(super().prune(net, batches, phase).masks, own)
