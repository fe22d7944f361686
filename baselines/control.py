"""Controls: what in another run's masks its accuracy comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from benchmark import (
    Batches,
    MaskedModel,
    Phase,
    Place,
    Prune,
    Pruned,
    Pruner,
    Seed,
    digest,
    masks_of_run,
    method_of_run,
    prune_at_init,
)
from benchmark.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Control(Pruner):
    """Keep what another run kept, before any training, but for what `kind` changes: a claim about masks has to hold.

    `shuffled` masks keep as many weights of each layer, at random places, and all biases and norms: random pruning
    at the other method's layer densities. Under `reinitialised` the masks stay and each layer's initial weights
    change places, which is to draw them anew from what they were drawn from. `same` changes neither.
    Source: Frankle, Dziugaite, Roy and Carbin, ICLR 2021, arXiv:2009.08576 (its ablations); Su et al.,
        NeurIPS 2020, arXiv:2009.11094.
    When: at initialisation.
    Looks at: another run's masks.
    Cost: nothing.
    """

    of: Place[Path | None] = (
        None  # folder of a finished run on the same network, RESULTS/runs/NAME; its last masks count
    )
    kind: Literal["shuffled", "reinitialised", "same"] = "shuffled"  # what differs from the other run
    masks_digest: Seed[str] = ""  # the sha256 of those masks; filled in, and held where it is given
    of_method: str = ""  # the method of that run; filled in

    def __post_init__(self) -> None:
        if self.of is None:
            return  # told by `plan`, so that defaults can be listed
        found = digest(masks_of_run(self.of))
        if self.masks_digest not in ("", found):
            raise UserError(f"pruner.of: the masks of {self.of} are not those of before; leave pruner.masks_digest out")
        object.__setattr__(self, "masks_digest", found)
        object.__setattr__(self, "of_method", method_of_run(self.of))

    def plan(self, steps: int) -> list[Phase]:
        if self.of is None:
            raise UserError("pruner.of must be the folder of a finished run, whose masks are taken")
        return prune_at_init(None, steps)

    def prune(self, net: MaskedModel, batches: Batches, phase: Prune) -> Pruned:
        assert self.of is not None
        masks = masks_of_run(self.of, net)
        if self.kind == "shuffled":
            masks = {name: _shuffled(masks[name]) for name in net.weights}
        values = {name: _shuffled(w) for name, w in net.weights.items()} if self.kind == "reinitialised" else {}
        return Pruned(masks, values)


def _shuffled(values: Tensor) -> Tensor:
    """The entries in another order."""
    return values.flatten()[torch.randperm(values.numel()).to(values.device)].view_as(values)
