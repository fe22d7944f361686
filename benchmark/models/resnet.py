"""CIFAR ResNets (He et al., CVPR 2016, arXiv:1512.03385, section 4.2).

Initialisation: He normal, fan in, as in the paper's reference [13]; batch norm weights 1, biases 0.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn


class OptionA(nn.Module):
    """The parameter-free shortcut: every `stride`-th pixel, new channels zero, half on each side.

    `gate`, (planes,), is a buffer of ones: a method that removes a channel of the shortcut masks it.
    """

    gate: Tensor

    def __init__(self, in_planes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.padding = (planes - in_planes) // 2
        self.register_buffer("gate", torch.ones(planes))

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        x = nn.functional.pad(x, (0, 0, 0, 0, self.padding, self.padding))  # (n, in, h, w) -> (n, planes, h, w)
        return x * self.gate[None, :, None, None]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, in_planes: int, planes: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        changes = stride != 1 or in_planes != planes
        if shortcut == "b" and changes:
            projection = nn.Conv2d(in_planes, planes, 1, stride, bias=False)
            self.shortcut: nn.Module = nn.Sequential(projection, nn.BatchNorm2d(planes))
        else:
            self.shortcut = OptionA(in_planes, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return torch.relu(out + self.shortcut(x))


class ResNet(nn.Module):
    """ResNet of `depth` = 6n + 2 layers with n blocks of 16, 32 and 64 channels each."""

    def __init__(
        self,
        depth: int,
        classes: int = 10,
        shortcut: Literal["a", "b"] = "a",  # zero-padded (a) or projection (b) shortcuts
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        blocks, in_planes = [], 16
        for planes in (16, 32, 64):
            for i in range((depth - 2) // 6):
                blocks.append(BasicBlock(in_planes, planes, 2 if planes > 16 and i == 0 else 1, shortcut))
                in_planes = planes
        self.layers = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, classes)
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(torch.relu(self.bn1(self.conv1(x))))
        return self.linear(self.pool(x).flatten(1))
