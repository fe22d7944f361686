"""The loss and its gradients, as scores look at them. The network itself is left as it was."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmark.data import Batches
from benchmark.network import MaskedModel


def loss_gradients(net: MaskedModel, batches: Batches, temperature: float = 1.0) -> dict[str, Tensor]:
    """The gradient of the mean cross-entropy over all of `batches` for each prunable weight, by name.

    Batch norm uses the statistics of each batch; everything else (dropout) is in evaluation mode. The logits
    are divided by `temperature`.
    """
    weights = {name: w.clone().requires_grad_() for name, w in net.weights.items()}
    gradients = {name: torch.zeros_like(w) for name, w in weights.items()}
    module = _scored_copy(net)
    examples = sum(len(labels) for _, labels in batches)
    with torch.enable_grad():
        for inputs, labels in batches:
            logits = functional_call(module, weights, (inputs,)) / temperature
            loss = F.cross_entropy(logits, labels, reduction="sum") / examples
            found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
            for name, gradient in zip(weights, found, strict=True):
                if gradient is not None:
                    gradients[name] += gradient
    return gradients


def training_loss(
    net: MaskedModel, weights: Mapping[str, Tensor], inputs: Tensor, labels: Tensor, temperature: float = 1.0
) -> Tensor:
    """The mean cross-entropy of the network with `weights` in place of its own, differentiable in them, twice too.

    Modes and temperature are those of `loss_gradients`. For scores that need more than a first derivative; call it
    within `torch.enable_grad()`.
    """
    with sdpa_kernel(SDPBackend.MATH):  # the one attention that has second derivatives
        logits = functional_call(_scored_copy(net), dict(weights), (inputs,))
    return F.cross_entropy(logits / temperature, labels)


def _scored_copy(net: MaskedModel) -> nn.Module:
    module = copy.deepcopy(net.module).requires_grad_(False)
    for part in module.modules():
        part.training = isinstance(part, nn.modules.batchnorm._BatchNorm)
    return module
