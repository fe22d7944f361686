"""Small networks for NNrelief, and its first round on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from baselines.nnrelief import NNrelief
from benchmark import MaskedModel, Masks, Prune

NORM = ("weight", "bias", "running_mean", "running_var")


def batches(x: Tensor, parts: int = 1) -> list[tuple[Tensor, Tensor]]:
    return [(part, torch.zeros(len(part), dtype=torch.long)) for part in x.chunk(parts)]


def fill(module: nn.Module, seed: int) -> nn.Module:
    """Weights, biases and batch norms as the golden masks were made with."""
    g = np.random.default_rng(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.from_numpy(g.standard_normal(shape))

    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            part.weight.data.copy_(drawn(*part.weight.shape) * np.sqrt(2 / part.weight[0].numel()))
            if part.bias is not None:
                part.bias.data.copy_(drawn(len(part.bias)) * 0.1)
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.weight.data.copy_(1 + 0.1 * drawn(part.num_features))
            part.bias.data.copy_(0.1 * drawn(part.num_features))
            part.running_mean.copy_(0.1 * drawn(part.num_features))
            part.running_var.copy_(1 + 0.1 * drawn(part.num_features).abs())
    return module


def convolutional(batch_norm: bool) -> nn.Sequential:
    parts: list[nn.Module] = []
    for inputs, outputs in ((2, 4), (4, 5)):
        norm = [nn.BatchNorm2d(outputs)] if batch_norm else []
        parts += [nn.Conv2d(inputs, outputs, 3, padding=1), *norm, nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(20, 9), nn.ReLU(), nn.Linear(9, 3))


def one_round(module: nn.Module, x: Tensor, **options: Any) -> Masks:
    return NNrelief(**options).prune(MaskedModel(module), batches(x), Prune(None)).masks
