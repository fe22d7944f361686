"""fvcore's counts against known totals, PyTorch's own counter, and what must be left alone."""

from __future__ import annotations

import logging

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmark.metrics.flops import FlopCount, dense_flops, effective_flops
from benchmark.models.lenet import LeNet5, LeNet300100
from benchmark.models.registry import build_model
from benchmark.network.masked_model import layers

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
    return {name: sum(counts[f"{root}.{name}"].values()) // 2 for name, _ in layers(module)}


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
