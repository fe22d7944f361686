"""FLOPs of passes through networks, against counts by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from benchmark.metrics.flops import dense_flops
from benchmark.metrics.passes import PassFlops
from benchmark.models.registry import build_model


def _differentiated(module: nn.Module, inputs: Tensor) -> None:
    module(inputs).sum().backward()


def _twice(module: nn.Module, inputs: Tensor) -> None:
    loss = module(inputs).square().sum()
    slopes = torch.autograd.grad(loss, list(module.parameters()), create_graph=True)
    torch.autograd.grad(torch.stack([s.square().sum() for s in slopes]).sum(), list(module.parameters()))


@pytest.mark.parametrize(
    ("work", "passes"),
    [
        (torch.no_grad()(lambda module, inputs: module(inputs)), 1),
        (lambda module, inputs: module(inputs), 1),  # a graph that nothing goes back through
        (_differentiated, 3),  # for the weights and for the inputs
        (_twice, 9),  # there, back, through what went back, and back again
    ],
)
def test_a_pass_back_is_two_and_one_that_is_differentiated_again_eight(
    work: Callable[[nn.Module, Tensor], object], passes: int
) -> None:
    module = nn.Linear(5, 3)
    with PassFlops() as counted:
        work(module, torch.randn(4, 5, requires_grad=True))
    work(module, torch.randn(4, 5, requires_grad=True))
    assert counted.total == passes * 4 * 5 * 3


def test_inputs_that_need_no_gradient_cost_none() -> None:
    with PassFlops() as counted:
        _differentiated(nn.Linear(5, 3), torch.randn(4, 5))
    assert counted.total == 2 * 4 * 5 * 3


@pytest.mark.parametrize(("model", "shape"), [("lenet_5", (1, 28, 28)), ("resnet_20", (3, 32, 32))])
def test_a_forward_pass_is_what_fvcore_counts_of_its_layers(model: str, shape: tuple[int, int, int]) -> None:
    module = build_model(model, 10, 0, shape=shape).eval()
    with PassFlops() as counted:
        module(torch.randn(2, *shape))
    assert counted.total == 2 * sum(dense_flops(module, shape).layers.values())


def test_projections_of_attention_count() -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    tokens = torch.randn(2, 5, 8)
    with PassFlops() as counted:
        attention(tokens, tokens, tokens)
    assert counted.total == 2 * 5 * 4 * 8 * 8
