"""Forwards that are hard to follow: less is removed, and the reason said, but never wrongly."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from benchmark.metrics.flops import structural_flops
from benchmark.models.lenet import LeNet5
from benchmark.network.masked_model import MaskedModel
from benchmark.network.removal import shrink
from tests.network.shrinking import assert_same_function, assert_shrinks, kill, randomise, sizes


class Written(nn.Module):
    """A forward with whatever `act` does between two linear layers."""

    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 2)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.first(x)))


def add_through_a_view(x: Tensor) -> Tensor:
    whole = x.view(-1, 8)
    x.add_(1.0)
    return whole * x


def leave_torch(x: Tensor) -> Tensor:
    return torch.from_numpy(x.numpy() + 1)


def normalise_channels(x: Tensor) -> Tensor:
    return nn.functional.layer_norm(x, (x.shape[-1],))


def reverse(x: Tensor) -> Tensor:
    return x.flip(-1)


def branch_on_values(x: Tensor) -> Tensor:
    return x + 1 if x.sum() > 0 else x - 1


def use_half(x: Tensor) -> Tensor:
    return torch.cat([x[:, :4], x[:, 4:].exp()], 1)


def sum_up(x: Tensor) -> Tensor:
    return x.cumsum(-1)


def written(act: Callable[[Tensor], Tensor]) -> MaskedModel:
    """Three of the eight units that `act` sees emit nothing."""
    net = MaskedModel(randomise(Written(act), torch.Generator().manual_seed(0)))
    kill(net, "first", [0, 3, 5])
    return net


@pytest.mark.parametrize("act", [add_through_a_view, normalise_channels, reverse, branch_on_values, use_half, sum_up])
def test_channels_that_cannot_be_followed_stay_and_the_function_too(act: Callable[[Tensor], Tensor]) -> None:
    assert_shrinks(written(act), (3,))


def test_a_forward_that_leaves_torch_is_found_out_by_the_comparison() -> None:
    net = written(leave_torch)
    found = shrink(net, (3,))
    assert_same_function(net, (3,), found.module)
    assert "kept everything" in found.note


class FixedSize(LeNet5):
    """LeNet-5 with the size of its flattened maps written into the forward."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        return self.fc2(torch.relu(self.fc1(x.view(-1, 800))))


def test_sizes_written_into_a_forward_keep_the_reshaped_channels_and_say_so() -> None:
    net = MaskedModel(randomise(FixedSize(), torch.Generator().manual_seed(0)))
    for name, units in {"conv1": [0], "conv2": [0, 1], "fc1": [0, 1, 2]}.items():
        kill(net, name, units)
    found = shrink(net, (1, 28, 28))
    assert_same_function(net, (1, 28, 28), found.module)
    assert {name: shape[0] for name, shape in sizes(found.module).items()} == {
        "conv1": 19, "conv2": 50, "fc1": 497, "fc2": 10,
    }  # fmt: skip
    assert found.note.startswith("kept the channels that are reshaped: RuntimeError")
    assert structural_flops(found, (1, 28, 28)).note == found.note


class Stateful(nn.Module):
    """A forward that does not give the same output twice."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.calls = nn.Linear(3, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.fc(x) * self.calls


def test_a_network_that_fails_the_comparison_is_left_whole_with_the_reason() -> None:
    found = shrink(MaskedModel(Stateful()), (3,))
    assert found.note.count("ArithmeticError: outputs differ by") == 2
    assert sizes(found.module) == {"fc": (3, 3)}


class Repeated(nn.Module):
    """One layer and one batch norm, used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = torch.relu(self.norm(self.conv(x)))
        return self.fc(x.mean((2, 3)))


def test_a_layer_used_twice_stays_whole() -> None:
    net = MaskedModel(randomise(Repeated(), torch.Generator().manual_seed(0)))
    kill(net, "conv", [0, 1])
    smaller = assert_shrinks(net, (4, 5, 5))
    assert sizes(smaller) == sizes(net.module)


class SharedNorm(nn.Module):
    """Two branches under one batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.norm = nn.Linear(3, 4), nn.Linear(3, 4), nn.BatchNorm1d(4)
        self.fc = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.cat([self.norm(self.left(x)), self.norm(self.right(x))], 1))


def test_a_batch_norm_shared_by_two_branches_stays_whole() -> None:
    net = MaskedModel(randomise(SharedNorm(), torch.Generator().manual_seed(0)))
    kill(net, "left", [0, 1])
    assert sizes(assert_shrinks(net, (3,))) == sizes(net.module)


class Tied(nn.Module):
    """A weight that reads and, transposed, writes."""

    def __init__(self) -> None:
        super().__init__()
        self.code, self.fc = nn.Linear(3, 4), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(nn.functional.linear(torch.relu(self.code(x)), self.code.weight.t()))


def test_a_weight_that_is_also_used_elsewhere_stays_whole() -> None:
    net = MaskedModel(Tied())
    kill(net, "code", [0, 1])
    assert sizes(assert_shrinks(net, (3,))) == sizes(net.module)
