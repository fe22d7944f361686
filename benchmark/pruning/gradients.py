"""Gradients of the loss, as scores look at them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.data import Batches
from benchmark.network import MaskedModel


def loss_gradients(net: MaskedModel, batches: Batches) -> dict[str, Tensor]:
    """The gradient of the mean cross-entropy over all of `batches` for each prunable weight, by name.

    Batch norm uses the statistics of each batch; everything else (dropout) is in evaluation mode.
    The module itself is left as it was.
    """
    module = copy.deepcopy(net.module).requires_grad_(False)
    for part in module.modules():
        part.training = isinstance(part, nn.modules.batchnorm._BatchNorm)
    weights = [module.get_parameter(name).requires_grad_() for name in net.weights]
    gradients = [torch.zeros_like(weight) for weight in weights]
    examples = sum(len(labels) for _, labels in batches)
    with torch.enable_grad():
        for inputs, labels in batches:
            loss = F.cross_entropy(module(inputs), labels, reduction="sum") / examples
            for total, found in zip(gradients, torch.autograd.grad(loss, weights, allow_unused=True), strict=True):
                if found is not None:
                    total += found
    return dict(zip(net.weights, gradients, strict=True))
