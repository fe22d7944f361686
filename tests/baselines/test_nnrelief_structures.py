"""NNrelief where units meet: dead units, summands, depthwise kernels, attention, layers that cannot be followed."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.nnrelief import NNrelief
from benchmark import MaskedModel, Prune
from benchmark.errors import UserError
from benchmark.network.layers import layers
from tests.baselines.nnrelief_networks import NORM, batches, convolutional, fill, one_round


def test_a_unit_that_nothing_reads_any_more_is_removed_up_to_the_input() -> None:
    module = fill(convolutional(True), 0)
    module[9].weight.data[:, 12:16] = 0  # pyright: ignore[reportIndexIssue]  # channel 3 of the second conv
    masks = one_round(module, torch.randn(4, 2, 8, 8))
    assert not masks["4.weight"][3].any()
    assert not masks["4.bias"][3]
    assert all(not masks[f"5.{leaf}"][3] for leaf in NORM)


class Summed(nn.Module):
    """Two convolutions of one channel each to two, added up; the second can be a projection shortcut."""

    def __init__(self, first: list[float], second: list[float]) -> None:
        super().__init__()
        self.branch, self.shortcut = nn.Conv2d(2, 2, 1, bias=False), nn.Conv2d(2, 2, 1, bias=False)
        for conv, sizes in ((self.branch, first), (self.shortcut, second)):
            conv.weight.data = torch.tensor([[[[size]], [[0.0]]] for size in sizes])
        self.fc = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.branch(x) + self.shortcut(x))
        return self.fc(x.mean((2, 3)))


def test_a_summand_that_the_other_outweighs_is_removed() -> None:
    module = Summed([1.0, 9.0], [10.0, 1.0])  # the bound is 1 / 9 at 0.9: 0.1 is below, 1 / 9 is not
    masks = one_round(module, torch.ones(2, 2, 3, 3), alpha_conv=0.9)
    assert masks["branch.weight"].flatten(1).any(1).tolist() == [False, True]
    assert masks["shortcut.weight"].flatten(1).any(1).tolist() == [True, True]


class SharedSummand(nn.Module):
    """One convolution that is added twice: to what it is far below of, and to what it is not."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(2, 2, 1, bias=False), nn.Linear(2, 2)
        self.conv.weight.data = torch.tensor([1.0, 0.0, 1.0, 0.0]).view(2, 2, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(100 * x + self.conv(x)) + torch.relu(x + self.conv(x))
        return self.fc(y.mean((2, 3)))


def test_a_summand_of_two_additions_goes_only_where_both_outweigh_it() -> None:
    masks = one_round(SharedSummand(), torch.ones(2, 2, 3, 3), alpha_conv=0.9)
    assert masks["conv.weight"][:, 0].all()


def test_a_depthwise_convolution_with_a_bias_loses_nothing_at_alpha_1() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(32, 3))
    masks = one_round(module, torch.randn(4, 2, 4, 4), alpha_conv=1.0, alpha_fc=1.0)
    live = module[:2](torch.randn(64, 2, 4, 4)).sum((0, 2, 3)) > 0
    assert masks["2.weight"][live].all()
    assert masks["2.bias"][live].all()


class Attention(nn.Module):
    """PyTorch's own attention, which uses its output projection as a function, or the same written out."""

    def __init__(self, batch_first: bool, written_out: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=batch_first)
        self.fc = nn.Linear(4, 2)
        self.written_out = written_out

    def forward(self, x: Tensor) -> Tensor:
        part = self.attention
        if self.written_out:
            split = F.linear(x, part.in_proj_weight, part.in_proj_bias).unflatten(-1, (3, 2, 2))
            query, key, value = split.permute(2, 0, 3, 1, 4)
            out = part.out_proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        elif part.batch_first:
            out = part(x, x, x)[0]
        else:
            out = part(*[x.transpose(0, 1)] * 3)[0].transpose(0, 1)
        return self.fc(out.mean(1))


@pytest.mark.parametrize("batch_first", [True, False])
def test_the_projections_of_attention_are_scored_as_the_layers_they_are(batch_first: bool) -> None:
    module = Attention(batch_first, written_out=False)
    same = Attention(batch_first, written_out=True)
    same.load_state_dict(module.state_dict())
    x = torch.randn(5, 3, 4)
    found, expected = (NNrelief().score(MaskedModel(m), batches(x)) for m in (module, same))
    assert found.keys() == {"attention.in_proj_weight", "attention.out_proj.weight", "fc.weight"}
    for name, score in expected.items():
        torch.testing.assert_close(found[name], score)


def test_a_layer_may_be_called_gate() -> None:
    fc, out = nn.Linear(4, 4), nn.Linear(4, 2)
    plain = nn.Sequential(OrderedDict(fc=fc, relu=nn.ReLU(), out=out))
    named = nn.Sequential(OrderedDict(gate=fc, relu=nn.ReLU(), aggregate=out))
    x = torch.randn(5, 4)
    expected, found = (NNrelief().prune(MaskedModel(m), batches(x), Prune(None)).masks for m in (plain, named))
    assert [mask.tolist() for mask in found.values()] == [mask.tolist() for mask in expected.values()]


class Transposed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.back = nn.Linear(4, 4)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x @ self.back.weight)


def test_layers_whose_inputs_cannot_be_seen_are_refused_unless_spared() -> None:
    x = torch.randn(2, 4)
    with pytest.raises(UserError, match=r"cannot score layers .*--spare back\.weight$"):
        one_round(Transposed(), x)
    net = MaskedModel(Transposed(), spare=["back.*"])
    assert set(NNrelief().prune(net, batches(x), Prune(None)).masks) == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("resnet18", {}, 32),
        ("resnet26", {"zero_init_last": False}, 32),  # bottlenecks
        ("mobilenetv2_035", {}, 32),  # depthwise convolutions
        ("edgenext_xx_small", {}, 64),  # depthwise with biases, and sums that are read again
        ("vit_tiny_patch16_224", {"img_size": 32, "depth": 2}, 32),
    ],
)
def test_networks_of_timm_are_pruned_soundly(name: str, options: dict[str, Any], size: int) -> None:
    torch.manual_seed(0)
    net = MaskedModel(timm.create_model(name, num_classes=5, **options))
    for part in net.module.modules():
        if isinstance(part, nn.BatchNorm2d):  # pruning acts on trained networks: no branch starts at zero
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.3)
    x = torch.rand(4, 3, size, size)
    with torch.no_grad():
        found = NNrelief().prune(net, batches(x), Prune(None)).masks
        scores = NNrelief().score(net, batches(x))
    assert scores.keys() == net.weights.keys()
    assert all(torch.isfinite(score).all() and score.shape == net.weights[n].shape for n, score in scores.items())
    kept = sum(int(found[n].sum()) for n in net.weights) / sum(w.numel() for w in net.weights.values())
    assert 0.05 < kept < 0.95
    assert all(found[layer.weight].any() for layer in layers(net.module))
    net.apply(found)
    assert torch.isfinite(net.module.eval()(x)).all()
