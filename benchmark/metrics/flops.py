"""FLOPs per example, as fvcore counts them: one multiply-add is one FLOP. The only module that uses fvcore.

fvcore counts convolutions, linear layers, matrix products and normalisations. Activations, additions
and the products inside a fused attention count nothing; `unsupported` lists them. What fvcore books
under another module, because that uses a layer's weight itself, is booked under the layer here.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections import Counter, OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import BuiltinFunctionType
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.network import LayerCall, Shrunk, SignalRecord, layers, without_fast_path

OPERATORS = ("conv", "linear")  # fvcore's names of what conv and linear layers do
COUNTS_KEPT = 256
PLAIN = {bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, slice, type(Ellipsis)}


@dataclass(frozen=True)
class FlopCount:
    """FLOPs per example: in all, and of each conv and linear layer by name.

    `unsupported` counts the calls of each operator that fvcore counts as nothing; `note` says what
    the reader should know of the network that was counted.
    """

    total: int
    layers: Mapping[str, int]
    unsupported: Mapping[str, int] = field(default_factory=dict)
    note: str = ""


_COUNTS: dict[Hashable, FlopCount] = {}  # by architecture and input shape


def dense_flops(module: nn.Module, shape: tuple[int, ...], note: str = "") -> FlopCount:
    """The count of `module` for one input of `shape` (C, H, W), in evaluation mode, whatever its masks.

    Works on a copy on the CPU: mode, buffers and hooks of `module` stay as they are. An architecture
    that has been counted before is not counted again.
    """
    module = getattr(module, "_orig_mod", module)  # a compiled model's own
    try:
        key = (_architecture(module, {}), shape)
    except (TypeError, RecursionError):
        return replace(_count(module, shape), note=note)
    if key not in _COUNTS:
        if len(_COUNTS) >= COUNTS_KEPT:
            _COUNTS.clear()
        _COUNTS[key] = _count(module, shape)
    return replace(_COUNTS[key], note=note)


def _count(module: nn.Module, shape: tuple[int, ...]) -> FlopCount:
    module = copy.deepcopy(module).cpu().eval()
    dtype = next((p.dtype for p in module.parameters()), torch.float32)
    logger = logging.getLogger("fvcore.nn.jit_analysis")
    disabled, logger.disabled = logger.disabled, True
    try:
        with torch.no_grad(), without_fast_path(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from fvcore.nn import FlopCountAnalysis  # here: its import itself warns
            from fvcore.nn.jit_handles import conv_flop_count, get_shape

            def same_padding(inputs: list[Any], outputs: list[Any]) -> Any:
                """A convolution with `padding="same"`, an operator of its own, which fvcore would skip."""
                x, weight, out = (get_shape(value) or [] for value in (*inputs[:2], outputs[0]))
                return Counter({"conv": conv_flop_count(x, weight, out)})

            found = FlopCountAnalysis(module, torch.zeros(1, *shape, dtype=dtype))
            found.set_op_handle("aten::_convolution_mode", same_padding)
            counts = found.by_module_and_operator()
            total, unsupported = int(found.total()), dict(found.unsupported_ops())
    finally:
        logger.disabled = disabled
    booked = {layer.name: counts.get(layer.name, {}) for layer in layers(module)}
    by_layer = {name: int(sum(found.get(op, 0) for op in OPERATORS)) for name, found in booked.items()}
    if uncalled := [name for name, count in by_layer.items() if not count]:
        by_layer |= _used_as_functions(module, uncalled, torch.zeros(1, *shape, dtype=dtype))
    return FlopCount(total, by_layer, unsupported)


def _used_as_functions(module: nn.Module, names: list[str], inputs: Tensor) -> dict[str, int]:
    """FLOPs of layers whose weights another module uses, such as a `MultiheadAttention`: fvcore books them there."""
    found = dict.fromkeys(names, 0)

    def count(call: LayerCall, given: Tensor) -> None:
        places = call.positions if call.stride else given.numel() // call.weight.shape[1]
        found[call.name] += places * call.weight.numel()

    with without_fast_path():
        SignalRecord(module, names, count).run(inputs)
    return found


def _architecture(value: Any, seen: dict[int, int]) -> Hashable:
    """A key of all that a count can depend on in `value`, a module or an attribute of one.

    Parameters and buffers count by shape: training changes their values. `seen` numbers those and modules
    by identity, so that what is shared is told from what is equal.

    Raises TypeError where something in it cannot be compared by what it is.
    """
    kind = type(value)
    if kind in PLAIN or isinstance(value, (type, Enum, BuiltinFunctionType)):
        return kind, value
    if isinstance(value, nn.Module):
        if id(value) in seen:
            return kind, seen[id(value)]
        seen[id(value)] = len(seen)
        state = {name: t for name, t in (value._parameters | value._buffers).items() if t is not None}
        rest = {n: v for n, v in vars(value).items() if n not in ("_parameters", "_buffers", "training")}
        shapes = tuple((n, t.dtype, tuple(t.shape), seen.setdefault(id(t), len(seen))) for n, t in state.items())
        return kind, shapes, _architecture(rest, seen)
    if kind in (tuple, list, torch.Size):
        return kind, tuple(_architecture(v, seen) for v in value)
    if kind in (set, frozenset):
        return kind, frozenset(_architecture(v, seen) for v in value)
    if kind in (dict, OrderedDict):
        return kind, tuple((_architecture(k, seen), _architecture(v, seen)) for k, v in value.items())
    raise TypeError(f"{kind.__name__} has no key")


def effective_flops(count: FlopCount, densities: Mapping[str, float]) -> float:
    """The count with each conv and linear layer's part times the density of its mask; the rest is dense."""
    sparse = sum(flops * (1 - densities.get(name, 1.0)) for name, flops in count.layers.items())
    return count.total - sparse


def structural_flops(shrunk: Shrunk, shape: tuple[int, ...]) -> FlopCount:
    """fvcore's count of the network without its dead units."""
    return dense_flops(shrunk.module, shape, note=shrunk.note)
