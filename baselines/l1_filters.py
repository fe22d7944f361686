"""Filters with small L1 norms removed: pruning that ordinary hardware gains from."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark import Batches, Distribution, IterativePruner, MaskedModel, Rounds, Scores, Structure
from benchmark.errors import UserError


@dataclass(frozen=True, kw_only=True)
class L1Filters(IterativePruner):
    """Keep the filters with the largest sum of absolute weights, and remove the others whole; retrain.

    With a filter (or a neuron) go its bias, its batch norm and the connections that read it, so the network that is
    left is a smaller dense one.

    When: after training.
    Looks at: weights.
    Cost: nothing but a sum.
    Score: |w|, summed over a filter.
    Source: Li, Kadav, Durdanovic, Samet and Graf, "Pruning filters for efficient ConvNets", ICLR 2017,
        arXiv:1608.08710, section 3; all layers pruned at once, then retrained.
    Differs: one rate for all layers that can lose filters, where the paper spares those that its sensitivity curves
        tell to (`--spare` does); a residual stream is pruned where a channel is unread in all that adds to it;
        fully connected layers lose neurons; the target counts the filters' own weights, not those that read them.
    """

    sparsity: float = 0.5  # share of the filters of each layer that goes, in [0, 1)
    distribution: Distribution = "uniform"  # the paper's: within each layer
    structure: Structure = "filters"  # and nothing else
    rounds: Rounds = 1  # prune-and-retrain rounds; the paper's is one

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.structure != "filters":
            raise UserError(f"l1_filters removes filters: pruner.structure must be filters, got {self.structure}")

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        return {name: w.abs() for name, w in net.weights.items()}
