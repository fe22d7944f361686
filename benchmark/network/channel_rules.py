"""How channels pass through PyTorch's operators: a rule for each, used by `channels.py`.

A rule takes (record, function, arguments, keyword arguments, output), records what becomes of the
channels, and returns True; or it returns False, and the channels that the operation reads are pinned.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from benchmark.models import OptionA
from benchmark.network.channels import ChannelRecord, Channels, Flags, Floats, Layer, Rule, Vector
from benchmark.network.layers import LAYERS

aten = torch.ops.aten


def linear(record: ChannelRecord, func: Any, args: Any, kwargs: Any, out: Tensor) -> bool:
    x, weight, bias = args
    return _layer(record, weight, bias, x, out, x.dim() - 1, 1, np.zeros((), dtype=np.bool_))


def convolution(record: ChannelRecord, func: Any, args: Any, kwargs: Any, out: Tensor) -> bool:
    x, weight, bias, stride, padding, dilation, transposed, _output_padding, groups = args
    border = np.zeros(weight.shape[2:], dtype=np.bool_)
    geometry = np.broadcast_arrays(x.shape[2:], out.shape[2:], stride, padding, dilation)
    for dim, (size, count, step, before, between) in enumerate(np.transpose(geometry)):
        first = np.arange(border.shape[dim]) * between - before  # where each tap reads first
        border |= ((first < 0) | (first + (count - 1) * step >= size)).reshape(
            [-1 if d == dim else 1 for d in range(border.ndim)]
        )
    return not transposed and _layer(record, weight, bias, x, out, 1, groups, border)


def _layer(
    record: ChannelRecord,
    weight: Tensor,
    bias: Tensor | None,
    x: Tensor,
    out: Tensor,
    dim: int,
    groups: int,
    border: Flags,
) -> bool:
    """A conv or linear layer; `border` says which taps read padding: there, a constant is nought."""
    name, _, leaf = (record.name(weight) or "").rpartition(".")
    layer = record.module.get_submodule(name)
    if leaf != "weight" or not isinstance(layer, LAYERS) or bias is not layer.bias:
        return False
    inputs = record.followed(x, dim)
    mask = record.mask(f"{name}.weight")
    mask = mask.reshape(groups, len(mask) // groups, mask.shape[1], -1)  # (groups, out / groups, in / groups, taps)
    kept, cut_off = mask.any(3), (mask & border.reshape(-1)).any(3)
    varying, uneven = np.isnan(inputs.constant), ~np.isnan(inputs.constant) & (inputs.constant != 0)
    spread = (kept & varying.reshape(groups, 1, -1)) | (cut_off & uneven.reshape(groups, 1, -1))
    values = constant_part(weight, inputs.constant, groups)
    if bias is not None:
        values = values + bias.detach().double().numpy()
    outputs = record.fresh(dim, np.where(spread.any(2).reshape(-1), np.nan, values))

    def backward() -> None:
        live = outputs.live.reshape(groups, -1, 1)
        inputs.needed |= (kept & live).any(1).reshape(-1)
        record.pinned.append(inputs.atoms[(cut_off & live).any(1).reshape(-1) & uneven])

    record.put(out, outputs, backward)
    record.layers.append(Layer(name, inputs, outputs))
    return True


def constant_part(weight: Tensor, constant: Floats, groups: int) -> Floats:
    """What constant inputs (those not NaN) add to each output, away from any padding; shape (out,)."""
    values = np.nan_to_num(constant).reshape(groups, 1, -1)
    used = np.flatnonzero(values.any(axis=(0, 1)))  # often few or none
    taps = weight.detach()[:, torch.from_numpy(used)].double()
    taps = taps.sum(tuple(range(2, taps.dim()))) if taps.dim() > 2 else taps  # (out, used)
    taps = taps.reshape(groups, len(weight) // groups, len(used)).numpy()
    return (taps * values[:, :, used]).sum(2).reshape(-1)


def batch_norm(record: ChannelRecord, func: Any, args: Any, kwargs: Any, out: Any) -> bool:
    x, weight, bias, mean, variance = args[:5]
    used = [t for t in (weight, bias, mean, variance) if t is not None]
    names = [name for t in used if (name := record.name(t)) is not None]
    training = func.overloadpacket is not aten._native_batch_norm_legit_no_training and args[5]
    if training or mean is None or variance is None or len(names) < len(used):
        return False
    inputs = record.followed(x, 1)
    record.vectors.extend(Vector(name, 0, inputs.atoms) for name in names)
    scale = 1 / np.sqrt(_numbers(variance) + args[-1])
    shift = 0.0 if bias is None else _numbers(bias)
    if weight is not None:
        scale = scale * _numbers(weight)
    constant = (inputs.constant - _numbers(mean)) * scale + shift
    if weight is not None and names[0] in record.masks:
        constant = np.where(record.mask(names[0]), constant, shift)
    return record.carry(inputs, out[0], 1, constant)


def pointwise(record: ChannelRecord, func: Any, args: Any, kwargs: Any, out: Tensor) -> bool:
    """Elementwise, with broadcasting: channels that meet belong together; constants go through `func` itself."""
    operands = [a for a in args if isinstance(a, Tensor)]
    if len(operands) != sum(isinstance(a, Tensor) for a in tree_leaves((args, kwargs))):
        return False
    found: dict[int, Channels] = {}
    narrow: list[Tensor] = []  # one channel, spread over many
    for t in operands:
        if (known := record.channels(t)) is not None:
            spread = len(known.atoms) == 1 != out.shape[known.dim + out.dim() - t.dim()]
            narrow.append(t) if spread else found.update({id(t): known})
    dims = {found[id(t)].dim + out.dim() - t.dim() for t in operands if id(t) in found}
    if len(dims) != 1:
        return False
    dim = dims.pop()
    others = [t for t in operands if id(t) not in found]
    aligned = [t.shape[t.dim() - out.dim() + dim] for t in others if t.dim() - out.dim() + dim >= 0]
    if any(size != 1 for size in aligned if out.shape[dim] != 1):
        return False
    if narrow:
        record.pin(narrow)
    sources = list(found.values())
    constant = _constant(func, args, kwargs, found, out.shape[dim])
    result = Channels(dim, sources[0].atoms, constant)
    record.together.extend((result.atoms, s.atoms) for s in sources[1:])

    def backward() -> None:
        for source in sources:
            source.needed |= result.live

    record.put(out, result, backward)
    return True


def _constant(func: Any, args: Any, kwargs: Any, found: dict[int, Channels], size: int) -> Floats:
    """The constants of `func`'s output, NaN where any operand varies; nought times anything is nought."""
    operands = [a for a in args if isinstance(a, Tensor)]
    known = {id(t): found[id(t)].constant if id(t) in found else np.full(size, np.nan) for t in operands}
    varies = np.isnan(list(known.values())).any(0)
    result = np.full(size, np.nan)
    if not varies.all():
        filled = [
            torch.from_numpy(np.nan_to_num(known[id(a)])).to(a.dtype) if isinstance(a, Tensor) else a for a in args
        ]
        result = np.where(varies, np.nan, func(*filled, **kwargs).double().numpy())
    if func.overloadpacket in (aten.mul, aten.mul_):
        result[np.any([c == 0 for c in known.values()], axis=0)] = 0
    return result


def view(record: ChannelRecord, func: Any, args: Any, kwargs: Any, out: Tensor) -> bool:
    """Any reshaping that keeps channels whole: as they are, or joined with the dimensions behind them."""
    x = args[0]
    found = record.channels(x)
    if found is None:
        return False
    count, stride = len(found.atoms), _product(x.shape[found.dim + 1 :])
    for dim, size in enumerate(out.shape):
        new_stride = _product(out.shape[dim + 1 :])
        if size * new_stride == count * stride and stride % new_stride == 0:
            return record.carry(found, out, dim, repeat=stride // new_stride)
    return False


def permute(record: ChannelRecord, func: Any, args: Any, kwargs: Any, out: Tensor) -> bool:
    x = args[0]
    order = list(range(x.dim()))
    if func.overloadpacket is aten.permute:
        order = [d % x.dim() for d in args[1]]
    else:
        a, b = args[1:3] if func.overloadpacket is aten.transpose else (0, -1)
        order[a], order[b] = order[b], order[a]
    found = record.channels(x)
    return found is not None and record.carry(found, out, order.index(found.dim))


def expand(record: ChannelRecord, func: Any, args: Any, kwargs: Any, out: Tensor) -> bool:
    found = record.channels(args[0])
    if found is None:
        return False
    dim = found.dim + out.dim() - args[0].dim()
    return out.shape[dim] == len(found.atoms) and record.carry(found, out, dim)


def pick(record: ChannelRecord, func: Any, args: Any, kwargs: Any, out: Tensor) -> bool:
    """select and slice, in other dimensions than the channels'."""
    x, dim = args[0], (args[1] if len(args) > 1 else 0) % args[0].dim()
    found = record.channels(x)
    if found is None or (dim == found.dim and out.shape != x.shape):
        return False
    gone = func.overloadpacket is aten.select and dim < found.dim
    return record.carry(found, out, found.dim - gone)


def concatenate(record: ChannelRecord, func: Any, args: Any, kwargs: Any, out: Tensor) -> bool:
    tensors = args[0]
    dim = (args[1] if len(args) > 1 else 0) % out.dim()
    known = [c for t in tensors if (c := record.channels(t)) is not None]
    if any(c.dim != dim for c in known) or any(t.dim() != out.dim() for t in tensors):
        return False
    parts = [record.followed(t, dim) for t in tensors]
    result = Channels(dim, np.concatenate([p.atoms for p in parts]), np.concatenate([p.constant for p in parts]))
    ends = np.cumsum([len(p.atoms) for p in parts])[:-1]

    def backward() -> None:
        for part, live in zip(parts, np.split(result.live, ends), strict=True):
            part.needed |= live

    record.put(out, result, backward)
    return True


def reduce(record: ChannelRecord, func: Any, args: Any, kwargs: Any, out: Tensor) -> bool:
    """Mean, largest or smallest over other dimensions than the channels'."""
    x = args[0]
    found = record.channels(x)
    dims = {d % x.dim() for d in (args[1] if len(args) > 1 else None) or range(x.dim())}
    if found is None or found.dim in dims:
        return False
    gone = 0 if out.dim() == x.dim() else sum(d < found.dim for d in dims)
    return record.carry(found, out, found.dim - gone)


def pool(record: ChannelRecord, func: Any, args: Any, kwargs: Any, out: Any) -> bool:
    """Pooling over the dimensions behind the channels; zero padding that is averaged in leaves only zero constant."""
    x, y = args[0], out[0] if isinstance(out, tuple) else out
    found = record.channels(x)
    if found is None or found.dim != 1 or y.shape[:2] != x.shape[:2]:
        return False
    averaged = getattr(func, "overloadpacket", None) in (aten.avg_pool1d, aten.avg_pool2d, aten.avg_pool3d)
    padded = averaged and len(args) > 3 and np.any(args[3])
    return record.carry(found, y, 1, np.where(found.constant != 0, np.nan, 0) if padded else None)


def pad(record: ChannelRecord, func: Any, args: Any, kwargs: Any, out: Tensor) -> bool:
    x, value = args[0], args[2] if len(args) > 2 else 0
    found = record.channels(x)
    if (
        found is None
        or out.shape[found.dim] != x.shape[found.dim]
        or args[1][2 * (x.dim() - 1 - found.dim) :][:2] not in ([], [0, 0])
    ):
        return False
    return record.carry(found, out, found.dim, np.where(found.constant == value, found.constant, np.nan))


def option_a(record: ChannelRecord, func: Any, args: Any, kwargs: Any, out: Tensor) -> bool:
    """A zero-padding shortcut: input channel i becomes output channel i + offset; the others are nought."""
    name = next(n for n, m in record.module.named_modules() if m is func)
    inputs = record.followed(args[0], 1)
    gate = record.masks.get(f"{name}.gate")
    offset = (out.shape[1] - len(inputs.atoms)) // 2
    inner = slice(offset, offset + len(inputs.atoms))
    constant = np.zeros(out.shape[1])
    constant[inner] = inputs.constant * _numbers(func.gate)[inner]
    if gate is not None:
        constant[~gate.numpy()] = 0
    outputs = record.fresh(1, constant)

    def backward() -> None:
        inputs.needed |= outputs.live[inner]

    record.put(out, outputs, backward)
    record.layers.append(Layer(name, inputs, outputs))
    return True


def _numbers(tensor: Tensor) -> Floats:
    return tensor.detach().double().numpy()


def _product(sizes: Any) -> int:
    return int(np.prod(sizes, dtype=np.int64))


RULES: dict[Any, Rule] = {
    # functions taken as one operation
    F.linear: linear,
    torch._C._nn.adaptive_avg_pool2d: pool,  # pyright: ignore[reportAttributeAccessIssue]
    # operators
    aten.convolution: convolution,
    **dict.fromkeys((aten.native_batch_norm, aten._native_batch_norm_legit_no_training), batch_norm),
    **dict.fromkeys((aten.view, aten._unsafe_view, aten.reshape, aten.unsqueeze, aten.squeeze), view),
    **dict.fromkeys((aten.permute, aten.transpose, aten.t), permute),
    aten.expand: expand,
    **dict.fromkeys((aten.select, aten.slice), pick),
    aten.cat: concatenate,
    **dict.fromkeys((aten.mean, aten.amax, aten.amin), reduce),
    **dict.fromkeys((aten.avg_pool2d, aten.max_pool2d_with_indices, aten._adaptive_avg_pool2d), pool),
    **dict.fromkeys((aten.adaptive_max_pool2d,), pool),
    aten.constant_pad_nd: pad,
    # elementwise operators: those that PyTorch marks as such, and some that it does not
    torch.Tag.pointwise: pointwise,
    **dict.fromkeys((aten.hardswish, aten.hardswish_, aten.gelu_, aten.mish_, aten._to_copy), pointwise),
    **dict.fromkeys((aten.detach, aten.alias, aten.lift_fresh), pointwise),
}
LEAVES: dict[type[nn.Module], Rule] = {OptionA: option_a}
