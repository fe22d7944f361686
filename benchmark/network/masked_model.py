"""A network with its masks: which parameters it still has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from benchmark.errors import UserError
from benchmark.network.layers import WeightedLayer, all_layers, layers

Masks = dict[str, Tensor]


class MaskedModel:
    """A network and its masks; hooks of a Pruner read it and never write it.

    `masks` has a bool tensor (True = kept) for every prunable weight, the weights of all `layers`
    but those whose names match a pattern of `spare`, and for whatever else a method has removed.
    Masked entries of the module's parameters (and buffers, such as a shortcut's gate) are exactly 0.
    `own` holds what a method trains beside the network, if it does.
    """

    def __init__(self, module: nn.Module, spare: Iterable[str] = ()) -> None:
        self.module = module
        self.spare = tuple(spare)
        names = [layer.weight for layer in all_layers(module)]
        for pattern in self.spare:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise UserError(f"spare: no weight is called '{pattern}'; weights: {', '.join(names)}")
        self.own: dict[str, Tensor] = {}
        if self.spare and not self.weights:
            raise UserError(f"spare: {' '.join(self.spare)} leaves no weight to prune; name those to keep whole")
        self.masks: Masks = {n: torch.ones_like(w, dtype=torch.bool) for n, w in self.weights.items()}
        self._counted: list[tuple[Tensor, int]] = []  # the masks that `_sizes` counts, and their versions then
        self._sizes: dict[str, tuple[int, int]] = self._count()

    @property
    def layers(self) -> dict[str, WeightedLayer]:
        """The layers whose weights are prunable, by name, in definition order."""
        return {layer.name: layer for layer in layers(self.module) if not self.spares(layer.weight)}

    @property
    def weights(self) -> dict[str, Tensor]:
        """The prunable weights by name, in definition order, detached."""
        return {layer.weight: layer.parameter.detach() for layer in self.layers.values()}

    def spares(self, weight: str) -> bool:
        """Whether the weight of this name is to stay unpruned."""
        return any(fnmatchcase(weight, pattern) for pattern in self.spare)

    def tensor(self, name: str) -> Tensor:
        """The parameter or buffer that a mask's name stands for."""
        return self.tensors()[name]

    def tensors(self) -> dict[str, Tensor]:
        """All parameters and buffers by name."""
        return {**dict(self.module.named_buffers()), **dict(self.module.named_parameters())}

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """How many entries of each parameter are kept, and how many it has; counted again where masks changed."""
        counted = [(mask, mask._version) for mask in self.masks.values()]
        if len(counted) != len(self._counted) or any(
            new[0] is not old[0] or new[1] != old[1] for new, old in zip(counted, self._counted, strict=True)
        ):
            self._counted, self._sizes = counted, self._count()
        return self._sizes

    def _count(self) -> dict[str, tuple[int, int]]:
        sizes = {name: p.numel() for name, p in self.module.named_parameters()}
        masked = [name for name in sizes if name in self.masks]
        kept = dict(sizes)
        if masked:  # one transfer from the device for all of them
            sums = torch.stack([self.masks[name].sum() for name in masked]).tolist()
            kept.update(zip(masked, sums, strict=True))
        return {name: (kept[name], size) for name, size in sizes.items()}

    def kept(self, name: str) -> int:
        """How many entries of the parameter `name` are kept."""
        mask = self.masks.get(name)
        return self.tensor(name).numel() if mask is None else int(mask.sum())

    @torch.no_grad()
    def apply(self, masks: Mapping[str, Tensor] | None = None, values: Mapping[str, Tensor] | None = None) -> None:
        """Take over `masks` (all names, or some) and new `values`, and set what masks remove to exactly zero."""
        self.masks.update(masks or {})
        tensors = self.tensors()
        for name, value in (values or {}).items():
            tensors[name].copy_(value)
        for name, mask in self.masks.items():
            tensors[name].masked_fill_(~mask, 0)


def digest(tensors: dict[str, Tensor]) -> str:
    """The sha256 of named tensors: names, shapes and bytes."""
    found = hashlib.sha256()
    for name, tensor in tensors.items():
        found.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
