"""The networks: published parameter counts, initial weights from (model, seed), shortcuts, names."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from benchmark.errors import UserError
from benchmark.models.registry import NAMES, build_model, input_shape
from benchmark.models.resnet import OptionA

# Weights and biases of conv and linear layers; ResNets with their first convolution's 432 weights.
COUNTS = {
    ("lenet_300_100", 10): 266_610, ("lenet_5", 10): 431_080,
    ("vgg_like", 10): 14_982_474, ("vgg_like", 100): 15_028_644,
    ("vgg_13", 10): 9_935_434, ("vgg_16", 10): 15_245_130, ("vgg_16", 100): 15_291_300,
    ("resnet_20", 10): 267_914 + 432, ("resnet_20", 100): 273_764 + 432, ("resnet_32", 10): 461_450 + 432,
    ("resnet_44", 10): 654_986 + 432, ("resnet_56", 10): 848_522 + 432, ("resnet_56", 100): 854_372 + 432,
}  # fmt: skip


@pytest.mark.parametrize(("name", "classes"), COUNTS)
def test_parameters_are_as_published(name: str, classes: int) -> None:
    module = build_model(name, classes, 0, shape=NAMES[name].shape)
    layers = [m for m in module.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert sum(p.numel() for layer in layers for p in layer.parameters()) == COUNTS[name, classes]


@pytest.mark.parametrize("name", ["lenet_5", "vgg_11", "resnet_20"])
def test_initial_weights_depend_on_the_seed_alone_and_leave_the_random_state(name: str) -> None:
    state = torch.get_rng_state()
    first, same, other = (build_model(name, 10, seed, shape=NAMES[name].shape).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[k], same[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


@pytest.mark.parametrize("name", ["vgg_11", "resnet_20"])
def test_larger_images_give_the_same_number_of_outputs(name: str) -> None:
    assert build_model(name, 7, 0, shape=(3, 64, 64)).eval()(torch.randn(2, 3, 64, 64)).shape == (2, 7)


def test_an_option_a_shortcut_subsamples_and_pads_with_zero_channels() -> None:
    x = torch.arange(2.0 * 16).view(1, 2, 4, 4)
    out = OptionA(2, 4, 2)(x)
    assert out.shape == (1, 4, 2, 2)
    assert torch.equal(out[:, 1:3], x[:, :, ::2, ::2])
    assert out[:, [0, 3]].abs().sum() == 0


def test_option_b_has_two_projections() -> None:
    a, b = (build_model("resnet_20", 10, 0, shape=(3, 32, 32), shortcut=s) for s in "ab")
    extra = sum(p.numel() for p in b.parameters()) - sum(p.numel() for p in a.parameters())
    assert extra == 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64


@pytest.mark.parametrize(
    ("name", "side", "options"),
    [
        ("timm/resnet18", 32, {"stem": "small"}),
        ("torchvision/resnet18", 64, {}),
        ("torchvision/vit_b_32", 64, {}),  # is told the size of its images
        ("torchvision/inception_v3", 96, {}),  # has a second classifier, for training only
    ],
)
def test_any_timm_and_torchvision_classifier_is_built_without_weights(
    name: str, side: int, options: dict[str, str]
) -> None:
    module = build_model(name, 5, 0, shape=(3, side, side), **options)
    assert module.training
    assert module(torch.randn(2, 3, side, side)).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet_21", {}, "unknown model 'resnet_21', did you mean 'resnet_"),
        ("timm/resnet81", {}, "timm has no classifier 'resnet81'; near it: "),
        ("lenet_5", {"shortcut": "b"}, "unknown option of lenet_5 'model.shortcut'"),
        ("resnet_20", {"shortcut": "c"}, "model.shortcut must be a or b, got c"),
        ("lenet_5", {"stem": "small"}, "unknown option of lenet_5 'model.stem'"),
        ("timm/vit_tiny_patch16_224", {"stem": "small"}, "needs a network with conv1 and maxpool"),
        ("torchvision/vit_b_16", {"shape": (3, 100, 100)}, "cannot take images of 100x100 .* --image_size 224"),
    ],
)
def test_impossible_networks_are_refused_in_one_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build_model(name, 10, 0, **{"shape": (3, 224, 224), **options})
    assert "\n" not in str(caught.value)


def test_lenets_take_digits_resized_and_others_what_is_given() -> None:
    assert input_shape("lenet_5", (1, 8, 8)) == (1, 28, 28)
    assert input_shape("resnet_20", (1, 8, 8)) == (3, 32, 32)
    assert input_shape("vgg_16", (3, 64, 64)) == (3, 64, 64)
    assert input_shape("vgg_16", (3, 64, 64), image_size=32) == (3, 32, 32)
    assert input_shape("timm/resnet18", (1, 8, 8)) == (3, 8, 8)
    assert input_shape("timm/resnet18", (1, 8, 8), image_size=224) == (3, 224, 224)
