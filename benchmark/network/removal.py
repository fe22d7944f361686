"""A network without its dead units: physically smaller, and the same function.

A unit (a conv's filter, a linear layer's neuron) is dead where masks leave it nothing that varies to
emit, or leave nobody who reads it. A constant that it still emits (its bias, or its batch norm's) is
added to the bias of those who read it. Where a reader pads its input with zeros, a constant other than
zero is no longer one for the taps that read the border: a unit that such a tap reads counts as live.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.models import OptionA
from benchmark.network.channel_rules import LEAVES, RULES, constant_part, view
from benchmark.network.channels import ChannelRecord, Flags, Floats, Indices, Layer, Rule
from benchmark.network.masked_model import MaskedModel
from benchmark.network.tracing import without_fast_path

TOLERANCE = 1e-9  # largest difference of outputs in float64, relative to the largest output
SMALLEST = 1e-3  # outputs below this are compared as if they were this large


@dataclass(frozen=True)
class Shrunk:
    """A network without its dead units, in evaluation mode on the CPU.

    `collapsed` says that its output does not depend on its input; `note` what stood in the way of removing more.
    """

    module: nn.Module
    collapsed: bool
    note: str = ""


class SelectChannels(nn.Module):
    """What is left of a zero-padding shortcut: chosen input channels times a gate, plus a constant for each.

    Index -1 stands for zero: a channel that is new, or whose input is gone.
    """

    index: Tensor
    gate: Tensor
    constant: Tensor

    def __init__(self, index: Tensor, gate: Tensor, constant: Tensor, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.register_buffer("index", index)
        self.register_buffer("gate", gate)
        self.register_buffer("constant", constant)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, 1))  # a channel of zeros at the end
        return x[:, self.index] * self.gate.view(-1, 1, 1) + self.constant.view(-1, 1, 1)


@torch.no_grad()
def shrink(net: MaskedModel, shape: tuple[int, ...]) -> Shrunk:
    """A copy of the network without its dead units; `shape` is that of one input (C, H, W).

    The result is held against the masked network in float64, where rounding hides nothing, on inputs
    that it was not made from. Where it fails that, as where a forward has sizes written into it, less is
    removed: at last nothing.

    Masks say whether it has collapsed. Where an operator is not understood, several inputs do.
    """
    without_views = {key: rule for key, rule in RULES.items() if rule is not view}
    notes = []
    with without_fast_path():
        for rules, kept in ((RULES, "the channels that are reshaped"), (without_views, "everything")):
            try:
                return _shrunk(net, shape, rules, "; ".join(notes))
            except Exception as error:  # whatever a foreign forward raises
                notes.append(f"kept {kept}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        module, _ = masked_copy(net)
        _, inputs = _inputs(shape, _dtype(module))
        return Shrunk(module, _all_alike(module(inputs)), "; ".join(notes))


def _shrunk(net: MaskedModel, shape: tuple[int, ...], rules: Mapping[Any, Rule], note: str) -> Shrunk:
    module, masks = masked_copy(net)
    dtype = _dtype(module)
    module.double()
    traced, held = _inputs(shape, torch.float64)
    record = ChannelRecord(module, masks, rules, LEAVES)
    record.run(traced)
    expected = module(held)
    _remove(module, record, _removed(record, module))
    difference = (module(held) - expected).abs()
    if not (difference <= TOLERANCE * _scale(expected)).all():
        raise ArithmeticError(f"outputs differ by {difference.max():.3g}")
    return Shrunk(module.to(dtype), not record.reads_input and _all_alike(expected), note)


def _inputs(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Random inputs to follow a network by, and others, small and large and of either sign, to compare by."""
    generator = torch.Generator().manual_seed(0)
    traced, held = (torch.randn(2, *shape, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2))
    return traced, torch.cat([held, -10 * held])


def _dtype(module: nn.Module) -> torch.dtype:
    return next((p.dtype for p in module.parameters()), torch.float32)


def _scale(outputs: Tensor) -> Tensor:
    """The largest output of each example, shaped so as to broadcast."""
    return outputs.abs().amax(tuple(range(1, outputs.dim())), keepdim=True).clamp(min=SMALLEST)


def _all_alike(outputs: Tensor) -> bool:
    """Whether all examples have the same output."""
    return bool(((outputs - outputs[:1]).abs() <= TOLERANCE * _scale(outputs)).all())


def masked_copy(net: MaskedModel) -> tuple[nn.Module, dict[str, Tensor]]:
    """The network and its masks on the CPU, in evaluation mode, masks applied."""
    module = copy.deepcopy(getattr(net.module, "_orig_mod", net.module)).cpu().eval()
    copied = MaskedModel(module)
    copied.apply({name: mask.detach().cpu() for name, mask in net.masks.items()})
    return module, copied.masks


def _removed(record: ChannelRecord, module: nn.Module) -> Flags:
    """Which atoms go: those of a class of channels that belong together and are all dead."""
    kinds = _classes(record)
    kept = np.zeros(kinds.max(initial=-1) + 1, dtype=np.bool_)
    for tensor in record.tensors:
        kept[kinds[tensor.atoms[tensor.live]]] = True
    for atoms in record.pinned:
        kept[kinds[atoms]] = True
    for atoms in _shared(record, module):
        kept[kinds[atoms]] = True
    while True:
        before = kept.sum()
        for tensor in record.tensors:  # nothing may become empty
            if len(tensor.atoms) and not kept[kinds[tensor.atoms]].any():
                kept[kinds[tensor.atoms[0]]] = True
        for layer in record.layers:
            for atoms in _unequal(layer, module, kept[kinds]):
                kept[kinds[atoms]] = True
        if kept.sum() == before:
            return ~kept[kinds]


def _classes(record: ChannelRecord) -> Indices:
    """The class of each atom; atoms in one class can only go together."""
    from scipy.sparse import coo_array  # here: their import takes as long as a round of digits
    from scipy.sparse.csgraph import connected_components

    pairs = [np.stack(np.broadcast_arrays(*pair)) for pair in record.together]
    rows, columns = np.concatenate([np.zeros((2, 0), dtype=np.int64), *pairs], axis=1)
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(record.atoms, record.atoms))
    return connected_components(graph, directed=False)[1]


def _shared(record: ChannelRecord, module: nn.Module) -> list[Indices]:
    """Channels of layers and batch norms that are used more than once."""
    several = {name for name, count in record.uses.items() if count > 1}
    atoms = [v.atoms for v in record.vectors if v.name in several]
    for layer in record.layers:
        own = [f"{layer.name}.{leaf}" for leaf in ("weight", "bias")]
        if several.intersection(own):
            atoms += [layer.inputs.atoms, layer.outputs.atoms]
    names = [layer.name for layer in record.layers]
    return atoms + [a for u in record.layers if names.count(u.name) > 1 for a in (u.inputs.atoms, u.outputs.atoms)]


def _unequal(layer: Layer, module: nn.Module, kept: Flags) -> list[Indices]:
    """Atoms that must stay for the groups of a grouped conv to be equally large (or gone)."""
    groups = getattr(module.get_submodule(layer.name), "groups", 1)
    if groups == 1:
        return []
    sides = [channels.atoms.reshape(groups, -1) for channels in (layer.inputs, layer.outputs)]
    used = kept[sides[0]].any(1) | kept[sides[1]].any(1)
    needed = []
    for atoms in sides:
        counts = kept[atoms].sum(1)
        for group in np.flatnonzero(used & (counts < counts.max())):
            gone = atoms[group][~kept[atoms[group]]]
            needed.append(gone[: counts.max() - counts[group]])
    return needed


def _remove(module: nn.Module, record: ChannelRecord, removed: Flags) -> None:
    """Take the atoms out of every parameter and buffer that has them."""
    for layer in record.layers:
        inputs, outputs = (np.flatnonzero(~removed[c.atoms]) for c in (layer.inputs, layer.outputs))
        if len(inputs) == len(layer.inputs.atoms) and len(outputs) == len(layer.outputs.atoms):
            continue
        part = module.get_submodule(layer.name)
        if isinstance(part, OptionA):
            parent, _, name = layer.name.rpartition(".")
            setattr(module.get_submodule(parent), name, _selected(part, layer, inputs, outputs))
        else:
            _cut(part, inputs, outputs, np.where(removed[layer.inputs.atoms], layer.inputs.constant, 0))
    for vector in record.vectors:
        keep = np.flatnonzero(~removed[vector.atoms])
        if len(keep) < len(vector.atoms):
            path, _, name = vector.name.rpartition(".")
            owner: Any = module.get_submodule(path)
            _set(owner, name, getattr(owner, name).index_select(vector.dim, torch.from_numpy(keep)))
            if hasattr(owner, "num_features"):
                owner.num_features = len(keep)


def _cut(layer: Any, inputs: Indices, outputs: Indices, folded: Floats) -> None:
    """Keep these inputs and outputs of a conv or linear layer; what constant inputs added goes into the bias."""
    groups = getattr(layer, "groups", 1)
    weight = layer.weight.detach()
    extra = torch.from_numpy(constant_part(weight, folded, groups)).to(weight.dtype)
    if layer.bias is not None or extra.any():
        bias = extra if layer.bias is None else layer.bias.detach() + extra
        _set(layer, "bias", bias[torch.from_numpy(outputs)])
    per_group = weight.shape[1]
    used = np.unique(inputs // per_group)
    columns = torch.from_numpy(inputs % per_group).view(len(used), -1)  # (groups, in / groups)
    rows = torch.from_numpy(outputs)
    group = torch.from_numpy(np.searchsorted(used, outputs // (len(weight) // groups)))
    _set(layer, "weight", weight[rows[:, None], columns[group]] if groups > 1 else weight[rows][:, columns[0]])
    if isinstance(layer, nn.Linear):
        layer.in_features, layer.out_features = len(inputs), len(outputs)
    else:
        layer.in_channels, layer.out_channels = len(inputs), len(outputs)
        layer.groups = len(used) if groups > 1 else 1


def _selected(shortcut: OptionA, layer: Layer, inputs: Indices, outputs: Indices) -> SelectChannels:
    """The shortcut between the inputs and outputs that are kept; what it gave of inputs that are gone is a constant."""
    offset = (len(layer.outputs.atoms) - len(layer.inputs.atoms)) // 2
    place = {old + offset: new for new, old in enumerate(inputs.tolist())}
    index = torch.tensor([place.get(old, -1) for old in outputs.tolist()])
    gate = shortcut.gate.detach()[torch.from_numpy(outputs)]
    constant = torch.from_numpy(np.nan_to_num(layer.outputs.constant[outputs])).to(gate.dtype)
    return SelectChannels(index, gate, constant.where(index < 0, 0), shortcut.stride)


def _set(owner: nn.Module, name: str, values: Tensor) -> None:
    """Replace a parameter or buffer."""
    if name in owner._buffers:
        owner._buffers[name] = values.clone()
    else:
        setattr(owner, name, nn.Parameter(values.clone().contiguous()))
