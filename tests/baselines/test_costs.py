"""What looking costs: every pruning's passes through the network, counted."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmark.config.discovery import pruner_class
from benchmark.network.masked_model import MaskedModel
from benchmark.pruning import Prune, decide

PASSES = {"magnitude": 0, "lamp": 0, "l1_filters": 0, "wanda": 1, "sparsegpt": 1, "taylor": 3}  # in forward passes


class Counting(nn.Module):
    """Counts examples forward, and two more for each that goes backward."""

    passed = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Counting.passed += len(x)
        if x.requires_grad:
            x.register_hook(lambda gradient: setattr(Counting, "passed", Counting.passed + 2 * len(gradient)))
        return x


@pytest.mark.parametrize("name", PASSES)
def test_a_method_looks_at_its_examples_as_often_as_it_says(name: str) -> None:
    net = MaskedModel(nn.Sequential(nn.Linear(4, 8), Counting(), nn.ReLU(), nn.Linear(8, 3)))
    batches = [(torch.randn(n, 4), torch.randint(3, (n,))) for n in (30, 20)]
    Counting.passed = 0
    decide(pruner_class(name)(), net, batches, Prune(0.5))
    structure = 2 if name == "l1_filters" else 0  # single examples that show what belongs together
    assert Counting.passed - PASSES[name] * 50 <= structure + 5
    assert Counting.passed >= PASSES[name] * 50
