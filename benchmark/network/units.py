"""Whole units of a network: which layers' can go, and all that goes with one."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from benchmark.network.channel_rules import LEAVES, RULES
from benchmark.network.channels import ChannelRecord
from benchmark.network.graph import unread_units
from benchmark.network.layers import WeightedLayer
from benchmark.network.masked_model import MaskedModel, Masks
from benchmark.network.signals import SignalRecord
from benchmark.network.tracing import without_fast_path

NORM_PARTS = ("weight", "bias", "running_mean", "running_var")


def removable_layers(net: MaskedModel, example: Tensor) -> list[str]:
    """The prunable weights of layers whose units can go one by one, in definition order.

    Not the output's layers, those read by an operation that is not understood, and grouped ones, whose
    units go with what they read. `example` is one network input, with its leading dimension.
    """
    probe = MaskedModel(net.module)
    probe.masks = {name: torch.zeros_like(mask) for name, mask in probe.masks.items()}
    unread = unread_units(probe, example)
    whole = [layer for layer in net.layers.values() if layer.groups == 1 and layer.name in unread]
    return [layer.weight for layer in whole if unread[layer.name].all()]


def batch_norms(net: MaskedModel, example: Tensor) -> dict[str, str]:
    """The batch norm that alone reads a layer's output, by the name of the layer's prunable weight."""
    record = SignalRecord(copy.deepcopy(net.module).eval(), list(net.layers))
    record.run(example)
    return {net.layers[name].weight: norm for name, norm in record.norms.items() if name in net.layers}


@torch.no_grad()
def whole_units(net: MaskedModel, masks: Masks, example: Tensor) -> Masks:
    """`masks` over those of `net`, and with each unit that they leave no connection all that belongs to it.

    Its bias and its batch norm go, so that it emits 0, and the connections that read it; units that these
    leave without connections go too.
    """
    found = {**net.masks, **masks}
    module = copy.deepcopy(net.module).eval()
    norms = batch_norms(net, example)
    while True:
        before = sum(int(mask.sum()) for mask in found.values())
        for layer in net.layers.values():
            gone = ~found[layer.weight].flatten(1).any(1)
            if gone.any():
                _take(found, module, layer, norms.get(layer.weight), gone)
        _drop_readers(found, net, example)
        if sum(int(mask.sum()) for mask in found.values()) == before:
            return found


def _take(found: Masks, module: torch.nn.Module, layer: WeightedLayer, norm: str | None, gone: Tensor) -> None:
    """Mask the bias and the batch norm of units of a layer."""
    tensors = {**dict(module.named_buffers()), **dict(module.named_parameters())}
    owned = [layer.bias, *(f"{norm}.{part}" for part in NORM_PARTS if norm is not None)]
    for part in (p for p in owned if p is not None and p in tensors):
        found[part] = found.get(part, torch.ones_like(gone)) & ~gone


def _drop_readers(found: Masks, net: MaskedModel, example: Tensor) -> None:
    """Mask the connections that read only zeros."""
    masked = MaskedModel(copy.deepcopy(net.module).cpu().eval(), net.spare)
    masked.apply({name: mask.cpu() for name, mask in found.items()})
    record = ChannelRecord(masked.module, masked.masks, RULES, LEAVES)
    with without_fast_path():
        record.run(example.cpu())
    silent: dict[str, Tensor] = {}
    for layer in record.layers:
        zero = torch.from_numpy(layer.inputs.constant == 0).to(example.device)
        silent[layer.name] = silent[layer.name] & zero if layer.name in silent else zero
    for name, layer in net.layers.items():
        if name in silent and silent[name].any():
            mask = found[layer.weight]
            read = silent[name].view(layer.groups, 1, mask.shape[1])
            read = read.expand(-1, len(mask) // layer.groups, -1).flatten(0, 1)
            found[layer.weight] = mask & ~read.view(*read.shape, *[1] * (mask.dim() - 2))
