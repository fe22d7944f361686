"""Small residual networks: what goes is what can go, found by trying each channel.

A channel that is constant but for its border counts as varying, also where nobody sees the border: masks
that make such a one are rare, and none of the seeds here does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.models.resnet import OptionA
from benchmark.network.masked_model import MaskedModel
from tests.network.shrinking import assert_shrinks, pruned

SHAPE = (2, 7, 5)  # odd: readers with a stride see both borders, of what is constant but for a border (and so stays)
Gone = Mapping[str, Mapping[int, float]]  # what the channels that were taken out had emitted, by place


class Block(nn.Module):
    """As in `benchmark/models/resnet.py`, with any activation function."""

    def __init__(self, width: int, out: int, stride: int, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, 3, 3, stride, padding=1, bias=False), nn.BatchNorm2d(3)
        self.conv2, self.bn2 = nn.Conv2d(3, out, 3, padding=1, bias=False), nn.BatchNorm2d(out)
        self.shortcut = OptionA(width, out, stride)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))
        return self.act(y + self.shortcut(x))


class Tiny(nn.Module):
    """A stem, three blocks, of which the second widens the stream, and a classifier."""

    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(2, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)
        self.blocks = nn.Sequential(Block(3, 3, 1, act), Block(3, 5, 2, act), Block(5, 5, 1, act))
        self.linear = nn.Linear(5, 2)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.blocks(self.act(self.bn(self.conv(x)))).mean((2, 3)))


class Without:
    """`net` computed with some channels taken out; `emitted` is what is left, by place."""

    def __init__(self, net: Tiny, gone: Gone) -> None:
        self.net, self.gone = net, gone
        self.emitted: dict[str, Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        net = self.net
        self.emitted["image"] = x
        self._emit("stem", net.act(self._norm("stem", net.bn, self._conv("image", "stem", net.conv))))
        stream = "stem"
        for i, block in enumerate(net.blocks):
            assert isinstance(block, Block)
            inner, out = f"inner{i}", f"stream{i}"
            self._emit(inner, net.act(self._norm(inner, block.bn1, self._conv(stream, inner, block.conv1))))
            body = self._norm(out, block.bn2, self._conv(inner, out, block.conv2))
            self._emit(out, net.act(body + self._shortcut(stream, out, block.shortcut)))
            stream = out
        pooled = self.emitted[stream].mean((2, 3))
        weight = net.linear.weight
        folded = sum((weight[:, k] * value for k, value in self.gone.get(stream, {}).items()), net.linear.bias)
        return F.linear(pooled, weight[:, self._left(stream, weight.shape[1])], folded)

    def _left(self, place: str, width: int) -> list[int]:
        return [k for k in range(width) if k not in self.gone.get(place, {})]

    def _emit(self, place: str, x: Tensor) -> None:
        self.emitted[place] = x

    def _conv(self, source: str, out: str, conv: nn.Conv2d) -> Tensor:
        weight = conv.weight[self._left(out, conv.out_channels)]
        zero = torch.zeros(len(weight), dtype=weight.dtype)
        folded = sum((weight[:, k].sum((1, 2)) * value for k, value in self.gone.get(source, {}).items()), zero)
        weight = weight[:, self._left(source, conv.in_channels)]
        return F.conv2d(self.emitted[source], weight, folded, conv.stride, conv.padding)

    def _norm(self, place: str, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
        left = self._left(place, norm.num_features)
        mean, var = norm.running_mean, norm.running_var
        assert mean is not None
        assert var is not None
        return F.batch_norm(x, mean[left], var[left], norm.weight[left], norm.bias[left])

    def _shortcut(self, source: str, out: str, shortcut: OptionA) -> Tensor:
        width = len(shortcut.gate) - 2 * shortcut.padding
        x = self.emitted[source][:, :, :: shortcut.stride, :: shortcut.stride]
        given = dict(zip(self._left(source, width), x.unbind(1), strict=True))
        given |= {k: torch.full_like(x[:, 0], value) for k, value in self.gone.get(source, {}).items()}
        nought = torch.zeros_like(x[:, 0])
        outputs = self._left(out, len(shortcut.gate))
        return torch.stack([given.get(k - shortcut.padding, nought) * shortcut.gate[k] for k in outputs], 1)


@torch.no_grad()
def can_go(module: Tiny) -> dict[str, set[int]]:
    """Channels that can be taken out one by one, by place, without changing the output."""
    x = torch.randn(6, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x *= torch.tensor([0.1, 1, 1, 1, 10, 100], dtype=torch.float64).view(-1, 1, 1, 1)
    whole = Without(module, {})
    expected = whole(x)
    torch.testing.assert_close(expected, module(x), rtol=1e-12, atol=1e-12)
    scale = expected.abs().amax(1, keepdim=True)
    found: dict[str, set[int]] = {}
    for place, emitted in whole.emitted.items():
        if place != "image":
            values = emitted[0, :, 1, 1].tolist()  # any example and position; these are inside the border
            tried = {k: Without(module, {place: {k: value}})(x) for k, value in enumerate(values) if len(values) > 1}
            found[place] = {k for k, y in tried.items() if ((y - expected).abs() <= 1e-9 * scale).all()}
    return found


def network(seed: int, act: Callable[[Tensor], Tensor]) -> MaskedModel:
    """A network with random masks on weights, batch norms and gates; some kernels keep no tap but the middle one."""
    torch.manual_seed(seed)
    units, weights, shifts = (float(torch.rand(())) for _ in range(3))
    net = pruned(Tiny(act).double(), seed, 0.6 * units, 0.3 + 0.6 * weights, shifts)
    middle = F.pad(torch.ones(1, 1, dtype=torch.bool), (1, 1, 1, 1))
    net.apply({n: m & (middle | (torch.rand(*m.shape[:2], 1, 1) < 0.5)) for n, m in net.masks.items() if m.dim() > 3})
    norms = [name.rpartition(".")[0] for name in net.tensors() if name.endswith("running_mean")]
    masked = [f"{name}.weight" for name in norms] + [n for n in net.tensors() if n.endswith("gate")]
    net.apply({name: torch.rand(net.tensor(name).shape) >= 0.2 for name in masked})
    return net


def removed(net: MaskedModel) -> dict[str, set[int]]:
    """The channels that `shrink` removes, by place: every channel has a variance of its own."""
    smaller = assert_shrinks(net, SHAPE)
    places = {"stem": "bn"}
    for i in range(3):
        places |= {f"inner{i}": f"blocks.{i}.bn1", f"stream{i}": f"blocks.{i}.bn2"}
    found: dict[str, set[int]] = {}
    for place, name in places.items():
        before, after = (m.get_buffer(f"{name}.running_var").tolist() for m in (net.module, smaller))
        found[place] = {k for k, variance in enumerate(before) if variance not in after}
    return found


@pytest.mark.parametrize("part", range(4))
def test_every_channel_goes_that_can_go_and_no_other(part: int) -> None:
    for seed in range(10 * part, 10 * part + 10):
        net = network(seed, nn.LeakyReLU(0.2))
        possible = can_go(net.module)  # pyright: ignore[reportArgumentType]
        for place, found in removed(net).items():
            width = len(
                net.tensor({"stem": "bn.bias"}.get(place, f"blocks.{place[-1]}.bn{1 + (place[0] == 's')}.bias"))
            )
            expected = possible[place]
            assert found == expected or (len(expected) == width == len(found) + 1 and found < expected), (seed, place)


def test_no_channel_goes_that_cannot_where_activations_are_nought_by_value() -> None:
    for seed in range(20):
        net = network(seed, torch.relu)
        possible = can_go(net.module)  # pyright: ignore[reportArgumentType]
        assert all(found <= possible[place] for place, found in removed(net).items()), seed
