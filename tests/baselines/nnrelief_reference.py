"""NNrelief's pruning round spelt out slowly, unit by unit, for the two shapes of network it was defined on.

No part of it is shared with `baselines/nnrelief/`: it knows the order of the layers, loops over
filters and kernels, and runs each kernel as a convolution of its own.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.models.resnet import OptionA

NORM = ("weight", "bias", "running_mean", "running_var")


class Block(nn.Module):
    """A basic block with a zero-padding shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = OptionA(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))) + self.shortcut(x))


class Residual(nn.Module):
    """A CIFAR ResNet of blocks of the given widths; where the width grows, the stride is 2."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        pairs = zip([widths[0], *widths], widths, strict=False)
        self.layers = nn.Sequential(*(Block(a, b, 1 if a == b else 2) for a, b in pairs))
        self.fc = nn.Linear(widths[-1], 5)

    def features(self, x: Tensor) -> Tensor:
        return self.layers(torch.relu(self.bn1(self.conv1(x)))).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x))


class Round:
    """One pruning round; the masks grow as its methods are called."""

    def __init__(self, module: nn.Module, alphas: tuple[float, float], formula: str, norm: str) -> None:
        self.module = copy.deepcopy(module).eval()
        self.alpha_conv, self.alpha_fc = alphas
        self.formula, self.norm = formula, norm
        self.masks: dict[str, Tensor] = {}

    def mask(self, name: str) -> Tensor:
        tensor = self.module.state_dict()[name]
        return self.masks.setdefault(name, torch.ones_like(tensor, dtype=torch.bool))

    def apply(self) -> None:
        state = self.module.state_dict()
        for name, mask in self.masks.items():
            state[name][~mask] = 0

    def remove(self, layer: str, unit: int, norm: str | None = None) -> None:
        self.mask(f"{layer}.weight")[unit] = False
        if f"{layer}.bias" in self.module.state_dict():
            self.mask(f"{layer}.bias")[unit] = False
        for leaf in NORM if norm is not None else ():
            self.mask(f"{norm}.{leaf}")[unit] = False

    def size(self, output_map: Tensor) -> Tensor:
        return output_map.sum() if self.norm == "sum" else (output_map**2).sum().sqrt()

    def select_conv(self, name: str, x: Tensor) -> None:
        conv: Any = self.module.get_submodule(name)
        assert conv.groups == 1

        def local(kernel: Tensor, signal: Tensor) -> Tensor:
            return F.conv2d(signal[None, None], kernel.abs()[None, None], None, conv.stride, conv.padding)

        for k, kernels in enumerate(conv.weight.detach()):
            importances = []
            for c, kernel in enumerate(kernels):
                if self.formula == "paper":
                    importances.append(sum(self.size(local(kernel, x[n, c].abs())) for n in range(len(x))) / len(x))
                else:
                    importances.append(self.size(local(kernel, x[:, c].abs().mean(0))))
            if conv.bias is not None:
                importances.append(self.size(conv.bias[k].abs() * torch.ones_like(local(kernels[0], x[0, 0]))))
            kept = select([float(i) for i in importances], self.alpha_conv)
            for c in range(len(kernels)):
                self.mask(f"{name}.weight")[k, c] &= kept[c]
            if conv.bias is not None:
                self.mask(f"{name}.bias")[k] &= kept[-1]

    def select_linear(self, name: str, x: Tensor) -> None:
        linear: Any = self.module.get_submodule(name)
        for j, weights in enumerate(linear.weight.detach()):
            signals = [*(weights * x).abs().mean(0).tolist(), float(linear.bias[j].abs())]
            kept = select(signals, self.alpha_fc)
            self.mask(f"{name}.weight")[j] &= torch.tensor(kept[:-1])
            self.mask(f"{name}.bias")[j] &= kept[-1]


def select(importances: list[float], alpha: float) -> list[bool]:
    """Which of one unit's connections stay."""
    ordered = sorted(importances, reverse=True)
    total = sum(ordered)
    below = sum(sum(ordered[: i + 1]) < alpha * total for i in range(len(ordered)))
    last = min(below + 1, len(ordered) - 1)
    return [importance > ordered[last] for importance in importances]


@torch.no_grad()
def sequential_round(
    net: nn.Sequential, x: Tensor, alphas: tuple[float, float], formula: str, norm: str
) -> dict[str, Tensor]:
    """Masks after one round on conv [- batch norm] - ReLU [- pool] ... - flatten - linear - ReLU ... - linear."""
    step = Round(net, alphas, formula, norm)
    parts = list(step.module.children())
    convs = [i for i, part in enumerate(parts) if isinstance(part, nn.Conv2d)]
    linears = [i for i, part in enumerate(parts) if isinstance(part, nn.Linear)]
    norms = {i: str(i + 1) for i in convs if isinstance(parts[i + 1], nn.BatchNorm2d)}

    def output(i: int, x: Tensor) -> Tensor:
        while i < len(parts) and not isinstance(parts[i], nn.ReLU):
            x, i = parts[i](x), i + 1
        return torch.relu(x) if i < len(parts) else x

    signal = x
    for i, part in enumerate(parts):
        if i in convs:
            step.select_conv(str(i), signal)
            mean = output(i, signal).mean(0)
            for k in range(len(mean)):
                if (mean[k] == 0).all():
                    step.remove(str(i), k, norms.get(i))
        signal = part(signal)
    step.apply()
    signal = x
    for i, part in enumerate(parts):
        if i in linears:
            step.select_linear(str(i), signal)
            mean = output(i, signal).mean(0)
            for j in range(len(mean)):
                if mean[j] == 0:
                    step.remove(str(i), j)
        signal = part(signal)
    order = convs + linears
    for before, after in reversed(list(pairwise(order))):
        mask = step.mask(f"{after}.weight")
        units = len(step.mask(f"{before}.weight"))
        for unit in range(units):
            outgoing = mask.view(len(mask), units, -1)[:, unit]
            if not outgoing.any():
                step.remove(str(before), unit, norms.get(before))
    return step.masks


@torch.no_grad()
def residual_round(net: Residual, x: Tensor, alphas: tuple[float, float], formula: str, norm: str) -> dict[str, Tensor]:
    """Masks after one round on a `Residual` network."""
    step = Round(net, alphas, formula, norm)
    module: Any = step.module

    def silence(names: tuple[str, str], mean: Tensor, gate: str | None = None) -> None:
        for k in range(len(mean)):
            if (mean[k] == 0).all():
                step.remove(names[0], k, names[1])
                if gate is not None:
                    step.mask(gate)[k] = False

    step.select_conv("conv1", x)
    signal = torch.relu(module.bn1(module.conv1(x)))
    silence(("conv1", "bn1"), signal.mean(0))
    for i, block in enumerate(module.layers):
        name = f"layers.{i}"
        inner = torch.relu(block.bn1(block.conv1(signal)))
        branch, shortcut = block.bn2(block.conv2(inner)), block.shortcut(signal)
        out = torch.relu(branch + shortcut)
        step.select_conv(f"{name}.conv1", signal)
        silence((f"{name}.conv1", f"{name}.bn1"), inner.mean(0))
        step.select_conv(f"{name}.conv2", inner)
        gate = step.mask(f"{name}.shortcut.gate")
        silence((f"{name}.conv2", f"{name}.bn2"), out.mean(0), f"{name}.shortcut.gate")
        for k in range(len(gate)):
            f, r = (s[:, k].abs().mean(0).norm() for s in (branch, shortcut))
            bound = (1 - step.alpha_conv) / step.alpha_conv
            if f / r < bound:
                step.remove(f"{name}.conv2", k)
            if r / f < bound:
                gate[k] = False
        signal = out
    step.apply()
    signal = module.features(x)
    step.select_linear("fc", signal)
    mean = module.fc(signal).mean(0)
    for j in range(len(mean)):
        if mean[j] == 0:
            step.remove("fc", j)
    unused = ~step.mask("fc.weight").any(0)
    for i in reversed(range(len(module.layers))):
        name = f"layers.{i}"
        gate = step.mask(f"{name}.shortcut.gate")
        for k in unused.nonzero().flatten().tolist():
            step.remove(f"{name}.conv2", k, f"{name}.bn2")
            gate[k] = False
        for k in (~step.mask(f"{name}.conv2.weight").any(3).any(2).any(0)).nonzero().flatten().tolist():
            step.remove(f"{name}.conv1", k, f"{name}.bn1")
        used = step.mask(f"{name}.conv1.weight").any(3).any(2).any(0)
        start = (len(gate) - len(used)) // 2
        unused = ~used & ~gate[start : start + len(used)]
    for k in unused.nonzero().flatten().tolist():
        step.remove("conv1", k, "bn1")
    return step.masks
