"""Random masks on random networks and on the named families: the function stays the same."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings, strategies as st
from torch import nn

from benchmark.metrics.flops import dense_flops
from benchmark.models.lenet import LeNet5, LeNet300100
from benchmark.models.registry import build_model
from benchmark.network.masked_model import MaskedModel
from benchmark.network.removal import shrink
from benchmark.pruning.masks import keep_top
from tests.network.shrinking import (
    Gated,
    Residual,
    assert_same_function,
    assert_shrinks,
    head,
    parameters,
    pruned,
    randomise,
)

QUICK = settings(max_examples=60, deadline=None, derandomize=True)
ACTIVATIONS = (nn.ReLU, nn.Sigmoid, nn.GELU, lambda: nn.ReLU(inplace=True), nn.Hardsigmoid, nn.Softplus)
activations = st.sampled_from(ACTIVATIONS)
seeds = st.integers(0, 10_000)
shares = st.sampled_from([0.0, 0.3, 0.6, 0.95])


@QUICK
@given(
    seed=seeds,
    act=activations,
    norm=st.booleans(),
    padding=st.integers(0, 1),
    units=shares,
    weights=shares,
    shifts=shares,
)
def test_a_sequential_network_computes_the_same_without_its_dead_units(
    seed: int, act: Callable[[], nn.Module], norm: bool, padding: int, units: float, weights: float, shifts: float
) -> None:
    torch.manual_seed(seed)
    side = 3 + 4 * padding
    convs = [
        nn.Conv2d(2, 6, 3, padding=padding),
        *([nn.BatchNorm2d(6)] if norm else []),
        act(),
        nn.MaxPool2d(2, stride=1, padding=1) if seed % 2 else nn.AvgPool2d(2, stride=1, padding=1),
        nn.Conv2d(6, 5, 3, padding=padding, bias=not norm),
        act(),
        nn.Flatten(),
        nn.Linear(5 * side**2, 7),
        *([nn.BatchNorm1d(7)] if norm else []),
        act(),
        nn.Linear(7, 3),
    ]
    assert_shrinks(pruned(nn.Sequential(*convs), seed, units, weights, shifts), (2, 6, 6))


@QUICK
@given(seed=seeds, act=activations, norm=st.booleans(), units=shares, weights=shares, shifts=shares)
def test_a_residual_network_computes_the_same_without_its_dead_units(
    seed: int, act: Callable[[], nn.Module], norm: bool, units: float, weights: float, shifts: float
) -> None:
    torch.manual_seed(seed)
    blocks = [Residual(4, 4, norm, act), Residual(4, 6, norm, act), Residual(6, 6, norm, act)]
    net = pruned(nn.Sequential(nn.Conv2d(2, 4, 3), *blocks, *head(6)), seed, units, weights, shifts)
    assert_shrinks(net, (2, 6, 6))


@QUICK
@given(seed=seeds, gate=activations, units=shares, weights=shares, shifts=shares)
def test_gated_grouped_and_concatenated_channels_compute_the_same_without_their_dead_units(
    seed: int, gate: Callable[[], nn.Module], units: float, weights: float, shifts: float
) -> None:
    torch.manual_seed(seed)
    net = pruned(nn.Sequential(Gated(4, gate), Gated(8, gate), *head(16)), seed, units, weights, shifts)
    assert_shrinks(net, (4, 5, 5))


# The named families.

FAMILIES = {
    "lenet_300_100": (LeNet300100, (1, 28, 28)),
    "lenet_5": (LeNet5, (1, 28, 28)),
    "resnet18": (lambda: timm.create_model("resnet18"), (3, 64, 64)),
    "mobilenetv3": (lambda: timm.create_model("mobilenetv3_small_100"), (3, 64, 64)),
    "efficientnet": (lambda: timm.create_model("efficientnet_b0"), (3, 64, 64)),
    "convnext": (lambda: timm.create_model("convnext_atto"), (3, 64, 64)),
    "regnetx": (lambda: timm.create_model("regnetx_002"), (3, 64, 64)),
    "densenet": (lambda: timm.create_model("densenet121"), (3, 64, 64)),
    "vit_tiny": (lambda: timm.create_model("vit_tiny_patch16_224"), (3, 224, 224)),
    "mixer": (lambda: timm.create_model("mixer_s32_224"), (3, 224, 224)),
    "torchvision_resnet18": (torchvision.models.resnet18, (3, 64, 64)),
    "torchvision_mobilenet_v2": (torchvision.models.mobilenet_v2, (3, 64, 64)),
    "torchvision_shufflenet": (torchvision.models.shufflenet_v2_x0_5, (3, 64, 64)),
    "torchvision_vit": (lambda: torchvision.models.VisionTransformer(32, 8, 2, 2, 12, 24), (3, 32, 32)),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_known_family_shrinks_and_computes_the_same(name: str) -> None:
    build, shape = FAMILIES[name]
    torch.manual_seed(0)
    net = pruned(build(), seed=1, units=0.4, shifts=0.7)
    smaller = assert_shrinks(net, shape)
    assert dense_flops(smaller, shape).total < 0.99 * dense_flops(net.module, shape).total
    assert parameters(smaller) < 0.99 * parameters(net.module)


@pytest.mark.parametrize(
    ("model", "options"),
    [("vgg_like", {}), ("vgg_11", {}), ("resnet_20", {"shortcut": "a"}), ("resnet_20", {"shortcut": "b"})],
)
def test_a_cifar_network_shrinks_and_computes_the_same(model: str, options: dict[str, str]) -> None:
    net = pruned(build_model(model, 10, 0, shape=(3, 32, 32), **options), seed=1, units=0.4, shifts=0.7)
    smaller = assert_shrinks(net, (3, 32, 32))
    assert parameters(smaller) < 0.9 * parameters(net.module)


def assert_shrinks_resnet_20(seeds: range) -> None:
    """With shares of the units, weights and biases masked, each share in turn; the constants that go on are exact."""
    mixtures = list(product((0.0, 0.3, 0.6, 0.9), (0.0, 0.5, 0.9, 0.98), (0.0, 0.5, 1.0)))
    for seed in seeds:
        units, weights, shifts = mixtures[seed % len(mixtures)]
        module = build_model("resnet_20", 10, seed, shape=(3, 32, 32), shortcut="a")
        net = pruned(module, seed, units, weights, shifts)
        smaller = assert_shrinks(net, (3, 32, 32))
        assert units < 0.5 or parameters(smaller) < 0.8 * parameters(module)


def test_resnet_20_computes_the_same_under_two_dozen_random_masks() -> None:
    assert_shrinks_resnet_20(range(1, 48, 2))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 240, 48))
def test_resnet_20_computes_the_same_under_240_random_masks(first: int) -> None:
    assert_shrinks_resnet_20(range(first, first + 48))


@pytest.mark.parametrize(("sparsity", "speedup"), [(0.98, 1.1), (0.985, 1.2), (0.99, 1.4)])
def test_resnet_20_has_dead_units_at_high_sparsity_and_loses_them(sparsity: float, speedup: float) -> None:
    module = build_model("resnet_20", 10, 0, shape=(3, 32, 32), shortcut="a")
    net = MaskedModel(randomise(module, torch.Generator().manual_seed(0)))
    net.apply(keep_top({name: w.abs() for name, w in net.weights.items()}, net.masks, sparsity, "global"))
    smaller = assert_shrinks(net, (3, 32, 32))
    assert dense_flops(module, (3, 32, 32)).total > speedup * dense_flops(smaller, (3, 32, 32)).total


def test_a_float32_network_stays_one_and_agrees_as_far_as_rounding_goes() -> None:
    net = pruned(build_model("resnet_20", 10, 0, shape=(3, 32, 32), shortcut="a"), 0, 0.3, 0.9, 0.5)
    found = shrink(net, (3, 32, 32))
    assert found.note == ""
    assert {t.dtype for t in found.module.state_dict().values() if t.is_floating_point()} == {torch.float32}
    assert_same_function(net, (3, 32, 32), found.module)
