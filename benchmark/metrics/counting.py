"""How small a network is by its masks: sparsity, compression, storage and FLOPs. Masks count, values never do."""

from __future__ import annotations

from typing import Any

from torch import nn

from benchmark.metrics.flops import FlopCount, effective_flops
from benchmark.network import MaskedModel, layers

VALUE_BYTES = 4  # float32
INDEX_BYTES = 4  # int32, as sparse kernels take them


def count(net: MaskedModel, flops: FlopCount, structural: FlopCount, collapsed: bool) -> dict[str, Any]:
    """All fields of a measured point that follow from masks and FLOPs, under the names of the records.

    `flops` is the count of the unpruned network, `structural` that without its dead units; `collapsed` says
    that its output does not depend on its input. A ratio to nothing is None. Buffers, such as running means,
    are no parameters, masked or not.
    """
    sizes = net.sizes
    weights = [sizes[name] for name in _layer_parameters(net.module) if name in sizes]
    rows = [
        {"name": layer.name, "kept": kept, "total": total, "flops_dense": flops.layers.get(layer.name, 0)}
        for layer in layers(net.module)
        for kept, total in [sizes[layer.weight]]
    ]
    effective = masked_flops(net, flops)
    stored, stored_as = sparse_bytes(net)
    kept, total = _sums(list(sizes.values()))
    return {
        "sparsity_prunable": sparsity(net),
        "compression_params": _ratio(total, kept),
        "compression_weights": _ratio(*reversed(_sums(weights))),
        "params_total": total,
        "params_kept": kept,
        "flops_dense": flops.total,
        "flops_effective": effective,
        "speedup_theoretical": _ratio(flops.total, effective),
        "flops_structural": structural.total,
        "speedup_structural": _ratio(flops.total, structural.total),
        "bytes_dense": VALUE_BYTES * total,
        "bytes_sparse": stored,
        "bytes_sparse_format": stored_as,
        "collapsed": collapsed,
        "layers": rows,
        "flops_unsupported": dict(flops.unsupported),
        "structural_note": structural.note,
    }


def sparsity(net: MaskedModel) -> float:
    """The masked-out share of the prunable weights."""
    sizes = net.sizes
    kept, total = _sums([sizes[name] for name in net.weights if name in sizes])
    return 1 - kept / total


def masked_flops(net: MaskedModel, flops: FlopCount) -> float:
    """FLOPs per example where each conv and linear layer does its share of `flops` that its mask keeps."""
    sizes = net.sizes
    densities = {layer.name: kept / total for layer in layers(net.module) for kept, total in [sizes[layer.weight]]}
    return effective_flops(flops, densities)


def sparse_bytes(net: MaskedModel) -> tuple[int, str]:
    """The smaller of the network's two sparse sizes in bytes, and its name: `bitmap` or `csr`.

    Parameters are float32. As a bitmap, a tensor is a bit for each entry and the kept values; as CSR,
    seen as a matrix (out, rest) or one row, it is the kept values, a 32-bit column index for each, and
    32-bit row pointers. A tensor that this would not make smaller, or without a mask, is stored densely.
    """
    sizes = {"bitmap": 0, "csr": 0}
    parameters = dict(net.module.named_parameters())
    for name, (kept, total) in net.sizes.items():
        rows = parameters[name].shape[0] if parameters[name].dim() > 1 else 1
        dense = VALUE_BYTES * total
        sizes["bitmap"] += min(dense, VALUE_BYTES * kept + (total + 7) // 8)
        sizes["csr"] += min(dense, (VALUE_BYTES + INDEX_BYTES) * kept + INDEX_BYTES * (rows + 1))
    smaller = min(sizes, key=lambda form: sizes[form])
    return sizes[smaller], smaller


def _layer_parameters(module: nn.Module) -> list[str]:
    """The names of the weights and biases of conv and linear layers."""
    return [name for layer in layers(module) for name in (layer.weight, layer.bias) if name is not None]


def _sums(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    return sum(kept for kept, _ in sizes), sum(total for _, total in sizes)


def _ratio(before: float, after: float) -> float | None:
    return before / after if after else None
