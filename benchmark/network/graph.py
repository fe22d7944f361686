"""Which units of a network are read by nothing, through the connections that masks keep."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.network.channel_rules import LEAVES, RULES
from benchmark.network.channels import ChannelRecord, Layer
from benchmark.network.masked_model import MaskedModel
from benchmark.network.signals import GATE
from benchmark.network.tracing import without_fast_path


def unread_units(net: MaskedModel, example: Tensor) -> dict[str, Tensor]:
    """For each layer, and each gate of a shortcut, which units have no connection left to any output; (units,) bool.

    `example` is one network input, with its leading dimension. Passed on from the output towards the
    input: what only unread units read is unread. Where an operation is not understood, all its inputs count as read.
    """
    module = copy.deepcopy(net.module).cpu().eval()
    masks = {n: m.cpu() for n, m in net.masks.items() if n in net.weights or n.endswith(f".{GATE}")}
    record = ChannelRecord(module, masks, RULES | {F.linear: _linear, torch.ops.aten.convolution: _convolution}, LEAVES)
    with without_fast_path():
        record.run(example.cpu())
    unread: dict[str, Tensor] = {}
    for layer in record.layers:
        name = layer.name if f"{layer.name}.weight" in dict(module.named_parameters()) else f"{layer.name}.{GATE}"
        found = torch.from_numpy(~layer.outputs.needed).to(example.device)
        unread[name] = unread[name] & found if name in unread else found
    return unread


def _linear(record: ChannelRecord, func: Any, args: Any, kwargs: Any, out: Tensor) -> bool:
    return _layer(record, args[1], args[0], out, args[0].dim() - 1, groups=1)


def _convolution(record: ChannelRecord, func: Any, args: Any, kwargs: Any, out: Tensor) -> bool:
    transposed, groups = args[6], args[8]
    return not transposed and _layer(record, args[1], args[0], out, 1, groups)


def _layer(record: ChannelRecord, weight: Tensor, x: Tensor, out: Tensor, dim: int, groups: int) -> bool:
    """A conv or linear layer: an input is read where a kept connection leads to a unit that is.

    Unlike the rule of `channel_rules.py`, a unit that emits a constant is a unit like others here.
    """
    name, _, leaf = (record.name(weight) or "").rpartition(".")
    if leaf != "weight":
        return False
    inputs = record.followed(x, dim)
    outputs = record.fresh(dim, np.full(len(weight), np.nan))
    kept = record.mask(f"{name}.weight")
    kept = kept.reshape(groups, len(weight) // groups, weight.shape[1], -1).any(3)  # (groups, out, in)

    def backward() -> None:
        inputs.needed |= (kept & outputs.needed.reshape(groups, -1, 1)).any(1).reshape(-1)

    record.put(out, outputs, backward)
    record.layers.append(Layer(name, inputs, outputs))
    return True
