"""FLOPs of the passes through networks that a stretch of code makes, whatever network, copy or hook makes them."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from benchmark.network import LAYERS


class PassFlops:
    """Counts in `total`, while within, multiply-adds of conv and linear layers, forward and backward, masked or not.

    What else is computed, such as products of a method's own, counts nothing. It asks each call of a module for its
    sizes, which costs microseconds; to watch every operator would cost some methods as much as they cost themselves.
    """

    def __init__(self) -> None:
        self.total = 0

    def __enter__(self) -> PassFlops:
        self._handle = register_module_forward_hook(self._forward)
        return self

    def __exit__(self, *raised: object) -> None:
        self._handle.remove()

    def _forward(self, module: nn.Module, inputs: tuple[Any, ...], outputs: Any) -> None:
        if isinstance(module, LAYERS):
            out, weights = outputs, [module.weight]
        elif isinstance(module, nn.MultiheadAttention):  # which does not call the layers that it holds
            out, weights = outputs[0], [p for p in module.parameters() if p.dim() == 2]
        else:
            return
        places = out.numel() // len(weights[-1])  # examples, times tokens or positions
        products = places * sum(weight.numel() for weight in weights)
        self.total += products
        if out.requires_grad:
            asked = weights[-1].requires_grad + any(isinstance(x, Tensor) and x.requires_grad for x in inputs)
            out.register_hook(partial(self._backward, asked * products))

    def _backward(self, products: int, gradient: Tensor) -> None:
        """Those for the weights and for the inputs; two more for each where the gradient is itself differentiated."""
        self.total += products * (3 if gradient.requires_grad else 1)
