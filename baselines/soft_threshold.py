"""STR, soft threshold reparameterisation: each layer learns the threshold below which its weights vanish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from benchmark import Batches, MaskedModel, Phase, Prune, Pruned, SoftPruner, Tensors, train_softly


@dataclass(frozen=True, kw_only=True)
class SoftThreshold(SoftPruner):
    """Keep the weights above a threshold that each layer learns with them; all are shrunk by it while they train.

    The network computes with sign(w) * relu(|w| - sigmoid(s)), s a number a layer. There is no target: decay draws
    every s to 0, where the threshold is 1/2, and the loss holds against it; more `decay` ends sparser.
    Source: Kusupati et al., ICML 2020, arXiv:2002.03231, section 3, a threshold a layer.
    Differs: the paper's s starts at values such as -3200 and decays as the weights do, which goes with 100 epochs of
        SGD at its rates. Here s has a decay of its own and is `rate` times what is trained, so that Adam, whose
        steps are as large as the learning rate, moves it in time.
    When: while training.
    Looks at: weights and thresholds trained with them.
    Cost: trains as the dense network does.
    """

    knob = "decay"
    decay: Annotated[float, Ge(0)] = 0.1  # weight decay of s, sets the sparsity; ours, for the default recipe
    initial: Annotated[float, Lt(0)] = -8.0  # s before training, a threshold of 0.0003; ours
    rate: Annotated[float, Gt(0)] = 100.0  # how much further than a weight s moves in a step of Adam; 1 is the paper's

    def plan(self, steps: int) -> list[Phase]:
        return train_softly(None, steps)

    def start(self, net: MaskedModel) -> Tensors:
        return {name: w.new_tensor(self.initial / self.rate) for name, w in net.weights.items()}

    def effective(self, weights: Tensors, own: Tensors, progress: float) -> Tensors:
        shrunk = {name: w.abs() - torch.sigmoid(self.rate * own[name]) for name, w in weights.items()}
        return {name: w.sign() * shrunk[name].relu() for name, w in weights.items()}

    def penalty(self, weights: Tensors, own: Tensors, progress: float) -> Tensor:
        return self.decay / 2 * (self.rate * torch.stack(list(own.values()))).square().sum()

    def prune(self, net: MaskedModel, batches: Batches, phase: Prune) -> Pruned:
        values = self.effective(net.weights, net.own, 1.0)
        return Pruned({name: value != 0 for name, value in values.items()}, values)
