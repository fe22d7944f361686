"""SNIP: connections that the loss is sensitive to, found before training."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark import Batches, IterativePruner, MaskedModel, Phase, Rounds, Scores, loss_gradients, prune_at_init


@dataclass(frozen=True, kw_only=True)
class SNIP(IterativePruner):
    """Keep the weights whose removal would change the loss most, before any training.

    When: at initialisation.
    Looks at: weights and gradients.
    Cost: 1 forward and 1 backward pass, 3 forward passes in all.
    Score: |w * dL/dw| at initialisation, L the mean loss over `batches`.
    Source: Lee, Ajanthan and Torr, ICLR 2019, arXiv:1810.02340, section 4; in several rounds that score the pruned
        network again: iterative SNIP, de Jorge et al., ICLR 2021, arXiv:2006.09081 (exponential schedule).
    Differs: the gradient is averaged over `batches`; the paper takes one batch.
    """

    rounds: Rounds = 1  # prunings before training, each removing the same share of what is left; 1: the paper

    def plan(self, steps: int) -> list[Phase]:
        return prune_at_init(self.targets, steps)

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        gradients = loss_gradients(net, batches)
        return {name: (w * gradients[name]).abs() for name, w in net.weights.items()}
