"""fvcore's counts against known totals, PyTorch's own counter, and what must be left alone."""

from __future__ import annotations

import copy
import logging
from enum import Enum
from functools import partial
from typing import Literal

import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmark.metrics.flops import FlopCount, dense_flops, effective_flops
from benchmark.models.lenet import LeNet5, LeNet300100
from benchmark.models.registry import build_model
from benchmark.network.layers import layers

NETWORKS = {
    "lenet_300_100": (LeNet300100, (1, 28, 28)),
    "lenet_5": (LeNet5, (1, 28, 28)),
    "resnet_32": (lambda: build_model("resnet_32", 10, 0, shape=(3, 32, 32)), (3, 32, 32)),
    "vgg_11": (lambda: build_model("vgg_11", 10, 0, shape=(3, 32, 32)), (3, 32, 32)),
    "resnet18": (lambda: timm.create_model("resnet18"), (3, 64, 64)),
    "mobilenetv3": (lambda: timm.create_model("mobilenetv3_small_100"), (3, 64, 64)),
    "regnetx": (lambda: timm.create_model("regnetx_002"), (3, 64, 64)),
    "convnext": (lambda: timm.create_model("convnext_atto"), (3, 64, 64)),
    "vit_tiny": (lambda: timm.create_model("vit_tiny_patch16_224"), (3, 224, 224)),
    "mixer": (lambda: timm.create_model("mixer_s32_224"), (3, 224, 224)),
}


def counted_by_torch(module: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    """Multiply-adds of each conv and linear layer by `torch.utils.flop_counter`."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.eval()(torch.zeros(1, *shape))
    counts, root = counter.get_flop_counts(), type(module).__name__
    return {n: sum(counts[f"{root}.{n}"].values()) // 2 for n in (layer.name for layer in layers(module))}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_conv_and_linear_layer_agrees_with_torchs_own_counter(name: str) -> None:
    build, shape = NETWORKS[name]
    module = build()
    expected = counted_by_torch(module, shape)
    assert sum(expected.values()) > 0
    assert dense_flops(module, shape).layers == expected


def test_lenet_300_100_has_a_multiply_add_for_every_weight() -> None:
    count = dense_flops(LeNet300100(), (1, 28, 28))
    assert count.total == 266_200
    assert count.layers == {"fc1": 235_200, "fc2": 30_000, "fc3": 1_000}


def test_lenet_5_has_the_hand_worked_total() -> None:
    conv1, conv2 = 24 * 24 * 20 * 25, 8 * 8 * 50 * 20 * 25
    assert dense_flops(LeNet5(), (1, 28, 28)).total == conv1 + conv2 + 800 * 500 + 500 * 10


def test_resnet_20_has_40_55_million_multiply_adds_in_its_layers() -> None:
    count = dense_flops(build_model("resnet_20", 10, 0, shape=(3, 32, 32)), (3, 32, 32))
    assert sum(count.layers.values()) == 40_551_040


def test_an_output_projection_called_as_a_function_is_booked_under_its_own_name() -> None:
    module = torchvision.models.VisionTransformer(32, 8, 1, 2, 12, 24, num_classes=3)
    count = dense_flops(module, (3, 32, 32))
    tokens = 4 * 4 + 1
    assert count.layers["encoder.layers.encoder_layer_0.self_attention.out_proj"] == tokens * 12 * 12


def test_operators_that_count_nothing_are_listed() -> None:
    module = timm.create_model("vit_tiny_patch16_224")
    assert dense_flops(module, (3, 224, 224)).unsupported["aten::scaled_dot_product_attention"] == 12


class Net(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))


def test_counting_leaves_mode_buffers_gradients_hooks_and_random_state_alone() -> None:
    module = Net().train()
    module(torch.randn(2, 3, 8, 8)).sum().backward()
    before = {name: t.clone() for name, t in module.state_dict().items()}
    random = torch.get_rng_state()
    dense_flops(module, (3, 8, 8))
    assert module.training
    assert all(part.training for part in module.modules())
    assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())
    assert all(p.grad is not None for p in module.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert torch.equal(torch.get_rng_state(), random)


def test_a_count_is_the_same_in_training_mode_and_evaluation_mode() -> None:
    assert dense_flops(Net().train(), (3, 8, 8)) == dense_flops(Net().eval(), (3, 8, 8))


class Counting(nn.Linear):
    calls = 0

    def forward(self, input: Tensor) -> Tensor:
        type(self).calls += 1
        return super().forward(input)


def test_an_architecture_is_counted_once_and_another_width_anew() -> None:
    first = dense_flops(nn.Sequential(Counting(3, 4)), (3,))
    calls = Counting.calls
    assert dense_flops(nn.Sequential(Counting(3, 4)), (3,)) == first
    assert Counting.calls == calls
    assert dense_flops(nn.Sequential(Counting(3, 5)), (3,)).total == 15
    assert Counting.calls > calls


def test_a_stride_alone_makes_another_architecture() -> None:
    counts = [dense_flops(nn.Sequential(nn.Conv2d(1, 1, 1, stride=s)), (1, 4, 4)).total for s in (1, 2)]
    assert counts == [16, 4]


class Failing(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        raise RuntimeError("no forward")


def test_a_failing_forward_leaves_no_hooks_and_no_silenced_logger() -> None:
    module = nn.Sequential(nn.Linear(3, 3), Failing(3, 4))
    with pytest.raises(RuntimeError, match="no forward"):
        dense_flops(module, (3,))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert not logging.getLogger("fvcore.nn.jit_analysis").disabled


def test_counting_prints_and_logs_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    dense_flops(nn.Sequential(nn.Linear(3, 7), nn.GELU(), nn.Linear(7, 3)), (3,))
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_effective_flops_scale_each_layer_by_its_density_and_keep_the_rest_dense() -> None:
    count = FlopCount(total=1_000, layers={"a": 600, "b": 300})
    assert effective_flops(count, {"a": 0.5, "b": 0.1}) == pytest.approx(300 + 30 + 100)
    assert effective_flops(count, {"a": 0.5}) == pytest.approx(300 + 300 + 100)
    assert effective_flops(count, {"a": 0.0, "b": 0.0}) == pytest.approx(100)


def test_padding_same_is_in_the_total_and_none_of_it_is_unsupported() -> None:
    module = nn.Sequential(nn.Conv2d(2, 4, 3, padding="same"), nn.Conv2d(4, 4, 5, padding="same", groups=4))
    count = dense_flops(module, (2, 6, 6))
    assert count.layers == {"0": 36 * 4 * 2 * 9, "1": 36 * 4 * 25}
    assert (count.total, count.unsupported) == (sum(count.layers.values()), {})


@st.composite
def networks(draw: st.DrawFn) -> nn.Sequential:
    """Convolutions with every sort of padding, groups, strides and dilations, norms, and linear layers."""
    width, parts = 4, list[nn.Module]()
    for _ in range(draw(st.integers(1, 4))):
        out = draw(st.sampled_from([4, 8]))
        padding = draw(st.sampled_from(["same", "valid", 0, 1, 2]))
        kernel = draw(st.integers(1, 3))
        stride = 1 if padding == "same" else draw(st.integers(1, 2))
        groups, dilation = draw(st.sampled_from([1, 2, 4])), draw(st.integers(1, 2))
        mode: Literal["zeros", "circular"] = draw(st.sampled_from(["zeros", "circular"]))
        parts.append(nn.Conv2d(width, out, kernel, stride, padding, dilation, groups, padding_mode=mode))
        parts += [nn.BatchNorm2d(out)] * draw(st.booleans()) + [nn.ReLU()]
        width = out
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, 3))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(module=networks(), density=st.sampled_from([0.0, 0.02, 0.5]))
def test_a_total_contains_its_layers_and_masks_never_make_a_network_slower(module: nn.Module, density: float) -> None:
    shape = (4, 48, 48)
    count = dense_flops(module, shape)
    assert count.layers == counted_by_torch(module, shape)
    assert count.total >= sum(count.layers.values())
    sparse = effective_flops(count, dict.fromkeys(count.layers, density))
    assert 0 <= sparse <= count.total


class Attributed(nn.Linear):
    """A layer with an attribute, that counts how often it is called."""

    calls = 0

    def __init__(self, attribute: object) -> None:
        super().__init__(2, 2)
        self.attribute = attribute

    def forward(self, input: Tensor) -> Tensor:
        type(self).calls += 1
        return super().forward(input)


class Side(Enum):
    LEFT = 1
    RIGHT = 2


ATTRIBUTES = {
    "an enum": (Side.LEFT, Side.RIGHT),
    "a nested list": ([1, [2, {"a": 3}]], [1, [2, {"a": 4}]]),
    "a dict": ({"stride": 1}, {"stride": 2}),
    "a set": ({1, 2}, {1, 3}),
    "a type": (nn.ReLU, nn.GELU),
    "a built-in function": (torch.relu, torch.tanh),
    "true, and one": (True, 1),
    "a data type": (torch.float32, torch.float64),
}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_networks_that_differ_by_an_attribute_are_counted_apart_and_equal_ones_once(name: str) -> None:
    one, other = ATTRIBUTES[name]
    dense_flops(Attributed(one), (2,))
    calls = Attributed.calls
    dense_flops(Attributed(copy.deepcopy(one)), (2,))
    assert Attributed.calls == calls
    dense_flops(Attributed(other), (2,))
    assert Attributed.calls > calls


@pytest.mark.parametrize("attribute", [object(), lambda x: x, [torch.ones(3)], partial(torch.add, 1)])
def test_what_cannot_be_compared_is_counted_each_time(attribute: object) -> None:
    module = Attributed(attribute)
    dense_flops(module, (2,))
    calls = Attributed.calls
    dense_flops(module, (2,))
    assert Attributed.calls > calls


def test_a_layer_used_twice_is_another_network_than_one_used_once() -> None:
    layer = nn.Linear(2, 2)
    counts = [dense_flops(nn.Sequential(*used), (2,)).total for used in ([layer], [layer, layer])]
    assert counts == [4, 8]
