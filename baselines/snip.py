"""SNIP: connections that the loss is sensitive to, found before training."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark import Batches, MaskedModel, ScoredPruner, Scores, loss_gradients


@dataclass(frozen=True, kw_only=True)
class SNIP(ScoredPruner):
    """Keep the weights whose removal would change the loss most, before any training.

    When: at initialisation.
    Looks at: weights and gradients.
    Cost: 1 forward and 1 backward pass, 3 forward passes in all.
    Score: |w * dL/dw| at initialisation, L the mean loss over `batches`.
    Source: Lee, Ajanthan and Torr, ICLR 2019, arXiv:1810.02340, section 4.
    Differs: the gradient is averaged over `batches`; the paper takes one batch.
    """

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        gradients = loss_gradients(net, batches)
        return {name: (w * gradients[name]).abs() for name, w in net.weights.items()}
