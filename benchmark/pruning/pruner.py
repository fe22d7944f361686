"""The contract of a pruning method: three hooks, one plan of phases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

from benchmark.data import Batches
from benchmark.network import MaskedModel, Masks
from benchmark.pruning.masks import Distribution, Scores, check_sparsity, keep_top
from benchmark.pruning.plan import Phase, Prune, prune_at_init


@dataclass(frozen=True, kw_only=True)
class Pruner(ABC):
    """A pruning method. Its fields are its hyperparameters; it remembers nothing else.

    Hooks read `net` and never write it, run without gradients, and get `batches`: normalised inputs
    and labels from the training split, drawn anew for each Prune, equally many for every method.
    Torch's random state is seeded from (seed, "pruning", number of the pruning) before each call.
    """

    sparsity: float | None = None  # target in [0, 1); None where the method's own rule decides
    distribution: Distribution = "global"  # how it spreads over layers: "global", "uniform", "erk"

    def __post_init__(self) -> None:
        if self.sparsity is not None:
            check_sparsity(self.sparsity)

    @abstractmethod
    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        """How much each weight is worth keeping, by parameter name; higher is kept."""

    def masks(self, net: MaskedModel, batches: Batches, prune: Prune) -> Masks:
        """Masks at `prune.sparsity`: by default the best-scored of the weights still kept."""
        assert prune.sparsity is not None
        return keep_top(self.score(net, batches), net.masks, prune.sparsity, self.distribution)

    def plan(self, steps: int) -> list[Phase]:
        """The whole run as data: by default prune at initialisation, then train for `steps`."""
        return prune_at_init(self.sparsity, steps)

    def for_model(self, model: str) -> Self:
        """This method with the options that its paper sets per network filled in; by default itself."""
        return self
