"""Small networks, masks and checks that the tests of `network/removal.py` share."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmark.network.layers import layers
from benchmark.network.masked_model import MaskedModel
from benchmark.network.removal import shrink

ROUNDING = {torch.float32: 1e-4, torch.float64: 1e-9}  # allowed difference of outputs, relative to the largest
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def randomise(module: nn.Module, generator: torch.Generator) -> nn.Module:
    """Biases and batch norms as after training, so that every channel carries a signal and a constant."""
    for part in module.modules():
        if isinstance(part, NORMS):
            part.weight.data.uniform_(0.5, 1.5, generator=generator)
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_(std=0.2, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
        if isinstance(part, (*NORMS, nn.Linear, nn.Conv2d)) and part.bias is not None:
            part.bias.data.normal_(std=0.3, generator=generator)
    return module.eval()


def pruned(module: nn.Module, seed: int, units: float = 0.4, weights: float = 0.0, shifts: float = 0.7) -> MaskedModel:
    """A network in which shares of the units, of the other weights, and of all biases are masked."""
    generator = torch.Generator().manual_seed(seed)
    net = MaskedModel(randomise(module, generator))
    masks = {}
    for name, w in net.weights.items():
        masks[name] = torch.rand(w.shape, generator=generator) >= weights
        masks[name][torch.rand(len(w), generator=generator) < units] = False
    for name, p in module.named_parameters():
        if name.endswith("bias"):
            masks[name] = torch.rand(p.shape, generator=generator) >= shifts
    net.apply(masks)
    return net


def assert_same_function(net: MaskedModel, shape: tuple[int, ...], smaller: nn.Module) -> None:
    dtype = next(net.module.parameters()).dtype
    x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(7), dtype=dtype)
    with torch.no_grad():
        expected, found = net.module.eval()(x), smaller(x)
    scale = max(float(expected.abs().max()), 1e-3)
    torch.testing.assert_close(found / scale, expected / scale, atol=ROUNDING[x.dtype], rtol=0)


def assert_shrinks(net: MaskedModel, shape: tuple[int, ...]) -> nn.Module:
    """The shrunk network, in float64, which computes the same and needed no second thoughts."""
    exact = MaskedModel(copy.deepcopy(net.module).double())
    exact.apply(net.masks)
    found = shrink(exact, shape)
    assert found.note == ""
    assert_same_function(exact, shape, found.module)
    return found.module


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def kill(net: MaskedModel, name: str, units: list[int], bias: bool = True) -> None:
    """Mask all weights of some units, and their biases."""
    mask = net.masks[name + ".weight"].clone()
    mask[units] = False
    net.apply({name + ".weight": mask})
    if bias:
        kept = torch.ones(len(mask), dtype=torch.bool)
        kept[units] = False
        net.apply({name + ".bias": kept})


def sizes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {layer.name: tuple(layer.parameter.shape) for layer in layers(module)}


class Residual(nn.Module):
    """Two 3 x 3 convs beside an identity or a 1 x 1 conv, each followed by a batch norm or not."""

    def __init__(self, width: int, out: int, norm: bool, act: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, 5, 3, padding=1, bias=not norm),
            nn.BatchNorm2d(5) if norm else nn.Identity(),
            act(),
            nn.Conv2d(5, out, 3, padding=1),
            nn.BatchNorm2d(out) if norm else nn.Identity(),
        )
        self.shortcut = nn.Identity() if width == out else nn.Conv2d(width, out, 1)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.body(x) + self.shortcut(x))


class Gated(nn.Module):
    """A depthwise and a grouped conv, and channels scaled by what their means say (squeeze and excitation)."""

    def __init__(self, width: int, gate: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.expand = nn.Conv2d(width, 8, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.squeeze = nn.Sequential(nn.Conv2d(8, 3, 1), nn.ReLU(), nn.Conv2d(3, 8, 1), gate())
        self.project = nn.Conv2d(8, width, 3, padding=1, groups=2)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.hardswish(self.norm(self.depthwise(self.expand(x))))
        y = y * self.squeeze(y.mean((2, 3), keepdim=True))
        return torch.cat([self.project(y), x], 1)


def head(width: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4)]
