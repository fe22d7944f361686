"""Firing patterns against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmark.metrics.firing import Firing, firing_patterns
from benchmark.network.masked_model import MaskedModel


def test_the_firing_of_a_layer_worked_out_by_hand() -> None:
    """Unit 0 passes the first input on, unit 1 its negative, unit 2 is dead, unit 3 always gives 1."""
    layer = nn.Linear(1, 4)
    layer.weight.data = torch.tensor([[1.0], [-1.0], [0.0], [0.0]])
    layer.bias.data = torch.tensor([0.0, 0.0, -1.0, 1.0])
    net = MaskedModel(nn.Sequential(layer, nn.ReLU(), nn.Linear(4, 2)))
    x, y = torch.tensor([[2.0], [4.0], [-1.0], [-3.0]]), torch.tensor([0, 0, 0, 1])
    found = firing_patterns(net, [(x[:3], y[:3]), (x[3:], y[3:])], classes=3)  # class 2 has no example
    assert list(found) == ["0", "2"]
    third = 1 / 3
    torch.testing.assert_close(found["0"].rates, torch.tensor([[2 * third, third, 0, 1], [0, 1, 0, 1]]))
    torch.testing.assert_close(found["0"].mean, torch.tensor([1.5, 1.0, 0.0, 1.0]))
    assert found["0"].silent.tolist() == [False, False, True, False]
    row = found["0"].row("0")
    assert row["dead_units"] == 1
    assert row["active_share"] == pytest.approx(4 / 8)
    assert row["class_overlap"] == pytest.approx((0 + third + 0 + 1) / (2 * third + 1 + 0 + 1))


def test_a_convolution_counts_positions_and_looks_after_batch_norm_and_activation() -> None:
    conv, norm = nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2)
    conv.weight.data.fill_(1)
    norm.bias.data = torch.tensor([0.0, -10.0])
    net = MaskedModel(nn.Sequential(conv, norm, nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)))
    x = torch.tensor([[1.0, 1.0], [1.0, -1.0]]).view(1, 1, 2, 2)
    found = firing_patterns(net, [(x, torch.tensor([1]))], classes=2)["0"]
    torch.testing.assert_close(found.rates, torch.tensor([[0.75, 0.0]]))
    assert found.silent.tolist() == [False, True]
    assert net.module.training  # left as it was


def test_classes_that_fire_alike_overlap_fully_and_disjoint_ones_not_at_all() -> None:
    nothing = torch.zeros(2)
    for rates, overlap in (([[0.5, 0.0], [0.5, 0.0]], 1.0), ([[0.5, 0.0], [0.0, 0.2]], 0.0), ([[0.0, 0.0]] * 2, 0.0)):
        assert Firing(torch.tensor(rates), nothing, nothing).overlap == pytest.approx(overlap)
