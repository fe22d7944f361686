"""Whether a network's products use its weights as they are, so that its masks say what is multiplied."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmark.errors import UserError
from benchmark.network.layers import computed_weights, layers
from benchmark.network.masked_model import MaskedModel
from benchmark.network.tracing import spare_dynamo

aten = torch.ops.aten
PRODUCTS = {
    *(aten.convolution, aten.linear, aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.mv, aten.addmv),
    *(aten._native_multi_head_attention, aten._transformer_encoder_layer_fwd),
}
COPIES = {aten.clone, aten._to_copy}


def check_weights(net: MaskedModel, shape: tuple[int, ...]) -> None:
    """Raises UserError where a prunable weight is changed before it is multiplied; `shape` is one input's (C, H, W).

    With weight standardisation, weight norm and the like, what is pruned is not what is convolved: the
    zeros of a mask become other numbers. Runs one example through a copy on the CPU.
    """
    changed = [name for name in computed_weights(net.module) if not net.spares(name)]
    changed += _changed(net, shape)
    if changed:
        others = [layer.weight for layer in layers(net.module) if layer.weight not in changed]
        spare = " ".join(f"'{p}'" if "*" in p else p for p in _patterns(changed, others))
        raise UserError(
            f"{len(changed)} weights of this network are changed before they are used (standardised, normalised or "
            "computed from others), so that masks would not say what is multiplied; take another network or leave "
            f"them unpruned: --spare {spare}"
        )


def _changed(net: MaskedModel, shape: tuple[int, ...]) -> list[str]:
    module = copy.deepcopy(getattr(net.module, "_orig_mod", net.module)).cpu().eval()
    uses = _Uses({layer.weight: layer.parameter for layer in MaskedModel(module, net.spare).layers.values()})
    dtype = next((p.dtype for p in module.parameters()), torch.float32)
    with torch.no_grad(), uses:
        module(torch.zeros(1, *shape, dtype=dtype))
    return [name for name in net.weights if name in uses.changed]


class _Uses(TorchDispatchMode):
    """Finds the weights, by name, that anything but a product reads; views and copies of a weight stand for it."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.changed: set[str] = set()
        self._names = {_storage(weight): name for name, weight in weights.items()}
        self._copies: list[Tensor] = []  # kept, so that no storage of theirs is used anew

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in PRODUCTS:
            return out
        read = {n for t in _tensors((args, kwargs)) if (n := self._names.get(_storage(t))) is not None}
        made = _tensors(out)
        if func.overloadpacket in COPIES and read:
            self._names |= dict.fromkeys(map(_storage, made), *read)
            self._copies += made
        elif any(self._names.get(_storage(t)) not in read for t in made):
            self.changed |= read
        return out


spare_dynamo(_Uses.__torch_dispatch__)


def _patterns(names: Collection[str], others: Collection[str]) -> list[str]:
    """`names`, those that differ by numbers alone as one pattern, as far as that fits none of `others`."""
    found: dict[str, None] = {}
    for name in names:
        pattern = re.sub(r"\d+(?=\.)", "*", name)
        found[name if any(fnmatchcase(other, pattern) for other in others) else pattern] = None
    return list(found)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
