"""Compression, storage and speed-up from masks, worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmark.metrics.counting import count, sparse_bytes
from benchmark.metrics.flops import FlopCount, dense_flops
from benchmark.models.lenet import LeNet300100
from benchmark.network.masked_model import MaskedModel


class Tiny(nn.Module):
    """conv 1 -> 2 (2 x 2 taps, no bias), batch norm, linear 8 -> 3: 8 + 4 + 27 = 39 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 2, bias=False)
        self.norm = nn.BatchNorm2d(2)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.norm(self.conv(x)).flatten(1))


def mask(shape: tuple[int, ...], kept: int) -> torch.Tensor:
    return (torch.arange(torch.Size(shape).numel()) < kept).view(shape)


def counted(net: MaskedModel) -> dict:
    flops = FlopCount(total=100, layers={"conv": 32, "fc": 24}, unsupported={"aten::add": 1})
    return count(net, flops, FlopCount(total=40, layers={}, note="why"), collapsed=False)


def test_every_number_of_a_pruned_network_is_as_worked_out_by_hand() -> None:
    net = MaskedModel(Tiny())
    net.apply(
        {
            "conv.weight": mask((2, 1, 2, 2), 2),
            "fc.weight": mask((3, 8), 6),
            "fc.bias": mask((3,), 1),
            "norm.bias": mask((2,), 0),
            "norm.running_mean": mask((2,), 0),
        }
    )
    row = counted(net)
    assert row["sparsity_prunable"] == pytest.approx(1 - 8 / 32)
    assert (row["params_total"], row["params_kept"]) == (39, 2 + 2 + 6 + 1)
    assert row["compression_params"] == pytest.approx(39 / 11)
    assert row["compression_weights"] == pytest.approx(35 / 9)
    assert row["flops_effective"] == pytest.approx(32 * 2 / 8 + 24 * 6 / 24 + 44)
    assert row["speedup_theoretical"] == pytest.approx(100 / 58)
    assert (row["flops_dense"], row["flops_structural"], row["speedup_structural"]) == (100, 40, 2.5)
    assert row["bytes_dense"] == 4 * 39
    assert row["layers"] == [
        {"name": "conv", "kept": 2, "total": 8, "flops_dense": 32},
        {"name": "fc", "kept": 6, "total": 24, "flops_dense": 24},
    ]
    assert row["collapsed"] is False
    assert row["flops_unsupported"] == {"aten::add": 1}
    assert row["structural_note"] == "why"


def test_storage_is_the_smaller_of_bitmap_and_csr_with_unmasked_tensors_dense() -> None:
    net = MaskedModel(nn.Sequential(nn.Linear(1000, 10)))
    net.apply({"0.weight": mask((10, 1000), 4000)})
    assert sparse_bytes(net) == (4 * 4000 + 10_000 // 8 + 4 * 10, "bitmap")
    net.apply({"0.weight": mask((10, 1000), 20)})
    assert sparse_bytes(net) == (8 * 20 + 4 * 11 + 4 * 10, "csr")


def test_a_dense_network_is_stored_densely() -> None:
    net = MaskedModel(LeNet300100())
    assert sparse_bytes(net)[0] == 4 * 266_610


def test_a_masked_bias_is_stored_as_one_row() -> None:
    net = MaskedModel(nn.Sequential(nn.Linear(1, 1000)))
    net.apply({"0.weight": mask((1000, 1), 0), "0.bias": mask((1000,), 3)})
    assert sparse_bytes(net) == (125 + 125 + 4 * 3, "bitmap")


def test_a_kept_weight_whose_value_is_zero_counts_as_kept() -> None:
    module = Tiny()
    nn.init.zeros_(module.fc.weight)
    row = counted(MaskedModel(module))
    assert row["params_kept"] == 39
    assert row["sparsity_prunable"] == 0
    assert row["compression_params"] == row["compression_weights"] == row["speedup_theoretical"] == 1


def test_spared_weights_are_no_part_of_the_sparsity_and_part_of_the_compression() -> None:
    net = MaskedModel(Tiny(), spare=["conv.*"])
    net.apply({"fc.weight": mask((3, 8), 12)})
    row = counted(net)
    assert row["sparsity_prunable"] == pytest.approx(0.5)
    assert row["compression_params"] == pytest.approx(39 / 27)


def test_a_ratio_to_nothing_is_none() -> None:
    net = MaskedModel(nn.Sequential(nn.Linear(2, 2)))
    net.apply({"0.weight": mask((2, 2), 0), "0.bias": mask((2,), 0)})
    row = count(net, dense_flops(net.module, (2,)), FlopCount(0, {}), collapsed=True)
    assert row["collapsed"] is True
    for name in ("compression_params", "compression_weights", "speedup_theoretical", "speedup_structural"):
        assert row[name] is None
    assert row["sparsity_prunable"] == 1
