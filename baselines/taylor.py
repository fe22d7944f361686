"""Taylor pruning: weights of a trained network whose removal changes the loss least, to first order."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark import Batches, IterativePruner, MaskedModel, Scores, loss_gradients


@dataclass(frozen=True, kw_only=True)
class Taylor(IterativePruner):
    """Keep the weights of a trained network whose removal would change the loss most, retrain, and repeat.

    The square is taken of each batch's change and then averaged: on a trained network the gradients of the batches
    cancel, and what is left of their mean is noise.

    When: after training.
    Looks at: weights and gradients.
    Cost: 1 forward and 1 backward pass, 3 forward passes in all.
    Score: mean over batches of (w * dL/dw)^2; a filter's (`--pruner.structure filters`) is the sum over its weights.
    Source: Molchanov, Mallya, Tyree, Frosio and Kautz, "Importance estimation for neural network pruning", CVPR 2019,
        arXiv:1906.10771, section 3, its first-order criterion.
    Differs: single weights compete by default, where the paper prunes filters; each round is followed by the
        benchmark's retraining, where the paper prunes a few filters every few steps of one training.
    """

    sparsity: float = 0.95  # target of the last round, in [0, 1)

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        changes = [loss_gradients(net, [batch]) for batch in batches]
        return {
            name: torch.stack([(w * gradients[name]).square() for gradients in changes]).mean(0)
            for name, w in net.weights.items()
        }
