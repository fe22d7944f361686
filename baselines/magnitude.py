"""Magnitude pruning after training: one-shot or iterative."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark import Batches, IterativePruner, MaskedModel, Scores


@dataclass(frozen=True, kw_only=True)
class Magnitude(IterativePruner):
    """Keep the largest weights of a trained network, retrain, and repeat.

    When: after training.
    Looks at: weights.
    Cost: nothing but a sort.
    Score: |w|.
    Source: Han et al., "Learning both weights and connections", NIPS 2015, arXiv:1506.02626,
        section 3; iterative with equal shares per round as in section 3.4 and Renda et al., ICLR
        2020, arXiv:2003.02389. `--pruner.rounds 1` is one-shot pruning.
    Differs: one threshold for all layers (`--pruner.distribution` has others), where Han et al. set
        one a layer by sensitivity; the retraining recipe is the benchmark's, the same for every method.
    """

    sparsity: float = 0.95  # target of the last round, in [0, 1)

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        return {name: w.abs() for name, w in net.weights.items()}
