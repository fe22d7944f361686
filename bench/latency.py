"""What pruning gains in time: sparse layers by width and sparsity, and networks without their dead units."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from bench.timing import Figure, compare, spread
from benchmark.metrics import find_engines, latencies
from benchmark.metrics.engines import CsrLayer
from benchmark.models import build_model
from benchmark.network import MaskedModel

DENSE = "times the speed of dense"
NETWORKS = {"lenet_300_100": (1, 28, 28), "resnet_20": (3, 32, 32), "vgg_fast": (3, 32, 32)}


def figures(quick: bool) -> Iterator[Figure]:
    """Convolutions of 64 and 256 channels as CSR matrices, then whole networks at random masks."""
    for channels in (64,) if quick else (64, 256):
        for sparsity in (0.9,) if quick else (0.8, 0.9, 0.95, 0.98):
            yield _convolution(channels, sparsity, 3 if quick else 31)
    for model, shape in list(NETWORKS.items())[: 1 if quick else None]:
        yield from _network(model, shape, 0.95)


@torch.inference_mode()
def _convolution(channels: int, sparsity: float, repeats: int) -> Figure:
    layer = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    layer.weight *= torch.rand(layer.weight.shape) >= sparsity
    sparse, inputs = CsrLayer(layer), torch.randn(1, channels, 16, 16)
    what = f"CSR, 3x3 convolution, {channels} channels, 16x16, {sparsity:.0%}"
    return compare(what, lambda: layer(inputs), lambda: sparse(inputs), repeats, DENSE)


def _network(model: str, shape: tuple[int, int, int], sparsity: float) -> Iterator[Figure]:
    """Weights go at random, and half of the filters of the first layer whole."""
    net = MaskedModel(build_model(model, 10, 0, shape=shape))
    masks = {name: torch.rand(mask.shape) >= sparsity for name, mask in net.masks.items()}
    first = next(iter(masks))
    masks[first][: len(masks[first]) // 2] = False
    net.apply(masks)
    rows = latencies(net, shape, [1, 64], 1, find_engines(["torch", "csr"]))
    dense = {row["batch"]: row["p50"] for row in rows if row["form"] == "dense"}
    for row in rows:
        if row["form"] != "dense":
            ratios = [dense[row["batch"]] / row[quartile] for quartile in ("p75", "p50", "p25")]
            what = f"{row['form']}, {model} at {sparsity:.0%}, batch {row['batch']}"
            yield spread(what, ratios, DENSE, f"{dense[row['batch']]:.2g} s and {row['p50']:.2g} s")
