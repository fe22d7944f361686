from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmark.network.graph import unread_units
from benchmark.network.masked_model import MaskedModel
from tests.baselines.nnrelief_reference import Residual


def without(net: MaskedModel, name: str, *index: Any) -> None:
    """Mask these entries of a tensor."""
    mask = net.masks.get(name, torch.ones_like(net.tensor(name), dtype=torch.bool)).clone()
    mask[index] = False
    net.apply({name: mask})


def unread(net: MaskedModel, *shape: int) -> dict[str, list[int]]:
    found = unread_units(net, torch.randn(1, *shape))
    return {name: units.nonzero().flatten().tolist() for name, units in found.items() if units.any()}


def test_every_unit_of_a_full_network_is_read() -> None:
    assert unread(MaskedModel(Residual([4, 8])), 3, 8, 8) == {}


def test_a_channel_is_read_by_any_of_its_positions() -> None:
    net = MaskedModel(nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 2)))
    without(net, "4.weight", slice(None), slice(4, 7))
    assert unread(net, 1, 6, 6) == {}
    without(net, "4.weight", slice(None), 7)
    assert unread(net, 1, 6, 6) == {"0": [1]}


def test_what_only_unread_units_read_is_unread() -> None:
    net = MaskedModel(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)))
    without(net, "4.weight", slice(None), 2)
    without(net, "2.weight", [0, 1, 3], 1)  # unit 1 leads to unit 2 alone
    assert unread(net, 3) == {"2": [2], "0": [1]}


def test_a_unit_that_emits_a_constant_is_still_read() -> None:
    net = MaskedModel(nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)))
    without(net, "0.weight", 1)
    assert unread(net, 3) == {}


def test_a_channel_of_the_stream_is_read_while_a_shortcut_leads_on() -> None:
    net = MaskedModel(Residual([4, 4]))
    without(net, "layers.1.conv1.weight", slice(None), 2)
    assert unread(net, 3, 8, 8) == {}
    without(net, "layers.1.shortcut.gate", 2)
    assert unread(net, 3, 8, 8) == {"layers.0.conv2": [2], "layers.0.shortcut.gate": [2]}
    without(net, "layers.0.conv1.weight", slice(None), 2)
    assert unread(net, 3, 8, 8)["conv1"] == [2]


def test_a_padding_shortcut_leads_to_the_inner_channels() -> None:
    net = MaskedModel(Residual([4, 8]))  # channel i of the stream becomes i + 2
    without(net, "layers.1.conv1.weight", slice(None), 1)
    without(net, "layers.1.shortcut.gate", 1)
    assert unread(net, 3, 8, 8) == {}
    without(net, "layers.1.shortcut.gate", 3)
    assert unread(net, 3, 8, 8) == {"layers.0.conv2": [1], "layers.0.shortcut.gate": [1]}


def test_a_grouped_convolution_reads_its_own_groups() -> None:
    net = MaskedModel(nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 2, 1)))
    without(net, "1.weight", [2, 3], 0)  # inputs 0 of the second group: channel 2
    assert unread(net, 1, 5, 5) == {"0": [2]}


class Sorted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).sort(1).values)


def test_what_is_not_understood_counts_as_read() -> None:
    net = MaskedModel(Sorted())
    without(net, "last.weight", slice(None), 0)
    assert unread(net, 3) == {}


def test_a_layer_used_twice_is_unread_only_where_both_uses_are() -> None:
    shared = nn.Linear(3, 3)
    net = MaskedModel(nn.Sequential(shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(3, 2)))
    without(net, "4.weight", slice(None), 1)
    assert unread(net, 3) == {}
    without(net, "0.weight", [0, 2], 1)
    assert unread(net, 3) == {"0": [1]}


def test_a_unit_whose_batch_norm_is_masked_is_still_read() -> None:
    net = MaskedModel(nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 2, 1)))
    without(net, "1.weight", 0)
    assert unread(net, 1, 3, 3) == {}
