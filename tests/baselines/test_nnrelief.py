from __future__ import annotations

import copy
import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.nnrelief import NNrelief
from benchmark import RETRAIN, MaskedModel, Masks, Prune, Rewind, Train
from benchmark.errors import UserError
from benchmark.models.lenet import LeNet5, LeNet300100
from benchmark.network.layers import layers
from tests.baselines.nnrelief_reference import Residual, residual_round, sequential_round

GOLDEN = Path(__file__).parents[1] / "golden"
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


@pytest.mark.parametrize(
    ("name", "module", "shape"),
    [("lenet300_100_a95", LeNet300100(), (784,)), ("lenet5_a90_a95", LeNet5(), (1, 28, 28))],
)
def test_the_released_programs_masks_are_met_bit_for_bit(name: str, module: nn.Module, shape: tuple[int, ...]) -> None:
    golden = np.load(GOLDEN / f"{name}.npz")
    meta, shapes = json.loads(str(golden["meta"])), json.loads(str(golden["shapes"]))
    net = MaskedModel(fill(module, meta["fill_seed"]))
    x = torch.from_numpy(np.random.default_rng(meta["x_seed"]).random((meta["n"], *shape)).astype(np.float32))
    pruner = NNrelief(formula="released", alpha_conv=meta["alpha_conv"], alpha_fc=meta["alpha_fc"])
    names = [name for layer in layers(module) for name in (layer.weight, layer.bias) if name is not None]
    for round_ in range(2):
        net.apply(pruner.prune(net, batches(x), Prune(None)).masks)
        for i, (parameter, size) in enumerate(zip(names, shapes, strict=True)):
            expected = np.unpackbits(golden[f"r{round_}_{i}"])[: np.prod(size)].reshape(size).astype(bool)
            assert np.array_equal(net.masks[parameter].numpy(), expected), (round_, parameter)


def assert_two_rounds_agree(module: nn.Module, reference: Any, x: Tensor, options: dict[str, Any]) -> None:
    """In float64, so that no unit hangs on rounding."""
    net = MaskedModel(module.double())
    pruner = NNrelief(**options)
    alphas = (options["alpha_conv"], options["alpha_fc"])
    for _ in range(2):
        expected = reference(net.module, x.double(), alphas, options["formula"], options["norm"])
        found = pruner.prune(net, batches(x.double(), parts=2), Prune(None)).masks
        for name in {*expected, *found}:
            ones = torch.ones_like(net.tensor(name), dtype=torch.bool)
            assert torch.equal(found.get(name, ones), expected.get(name, ones)), name
        net.apply(found)


OPTIONS = st.fixed_dictionaries(
    {
        "alpha_conv": st.sampled_from([0.5, 0.9, 1.0]),
        "alpha_fc": st.sampled_from([0.4, 0.95]),
        "formula": st.sampled_from(["paper", "released"]),
        "norm": st.sampled_from(["frobenius", "sum"]),
    }
)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), batch_norm=st.booleans(), options=OPTIONS)
def test_plain_networks_are_pruned_as_the_slow_reference_does(
    seed: int, batch_norm: bool, options: dict[str, Any]
) -> None:
    module = fill(convolutional(batch_norm), seed)
    x = torch.from_numpy(np.random.default_rng(seed).standard_normal((5, 2, 8, 8)))
    assert_two_rounds_agree(module, sequential_round, x, options)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), options=OPTIONS)
def test_residual_networks_are_pruned_as_the_slow_reference_does(seed: int, options: dict[str, Any]) -> None:
    module = fill(Residual([4, 4, 8]), seed)
    x = torch.from_numpy(np.random.default_rng(seed).standard_normal((4, 3, 6, 6)))
    assert_two_rounds_agree(module, residual_round, x, options)


def test_masks_leave_the_network_and_its_masks_as_they_were() -> None:
    net = MaskedModel(fill(convolutional(True), 0).train())
    net.module.get_submodule("1").eval()
    modes = [part.training for part in net.module.modules()]
    state, masks = copy.deepcopy(net.module.state_dict()), {n: m.clone() for n, m in net.masks.items()}
    x = torch.randn(6, 2, 8, 8)
    found = NNrelief().prune(net, batches(x), Prune(None)).masks
    NNrelief().score(net, batches(x))
    assert any(not mask.all() for mask in found.values())
    assert [part.training for part in net.module.modules()] == modes
    for name, tensor in net.module.state_dict().items():
        assert torch.equal(tensor, state[name])
    for name, mask in net.masks.items():
        assert torch.equal(mask, masks[name])
    assert not any(part._forward_hooks for part in net.module.modules())


def test_a_score_is_the_share_of_the_units_signal() -> None:
    linear = nn.Linear(2, 2)
    linear.weight.data = torch.tensor([[3.0, -1.0], [0.0, 0.0]])
    linear.bias.data = torch.tensor([-4.0, 0.0])
    x = torch.tensor([[1.0, 2.0], [-1.0, 6.0]])  # mean magnitudes 1 and 4
    scores = NNrelief().score(MaskedModel(nn.Sequential(linear)), batches(x))
    torch.testing.assert_close(scores, {"0.weight": torch.tensor([[3 / 11, 4 / 11], [0.0, 0.0]])})


def test_a_kernels_score_is_the_same_for_all_its_weights() -> None:
    conv = nn.Conv2d(2, 1, (1, 2), bias=False)
    conv.weight.data = torch.tensor([[[[1.0, -2.0]], [[2.0, 0.0]]]])
    x = torch.tensor([[[[1.0, -1.0, 0.0]], [[3.0, 4.0, 9.0]]], [[[0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]]]])
    scores = NNrelief().score(MaskedModel(nn.Sequential(conv)), batches(x))["0.weight"]
    # maps of the first example: (3, 1) and (6, 8); the second's are zero
    first, second = 10**0.5 / 2, 10 / 2
    expected = torch.tensor([first, second])[:, None, None].expand(2, 1, 2) / (first + second)
    torch.testing.assert_close(scores[0], expected)


def test_the_paper_takes_the_norm_before_the_mean_and_the_program_after_it() -> None:
    conv = nn.Conv2d(2, 1, 1, bias=False)
    conv.weight.data.fill_(1)
    x = torch.tensor([[[[2.0, 0.0]], [[1.5, 1.5]]], [[[0.0, 2.0]], [[1.5, 1.5]]]])  # channel 0 moves about
    net = MaskedModel(nn.Sequential(conv))

    def shares(formula: Any, norm: Any) -> Tensor:
        return NNrelief(formula=formula, norm=norm).score(net, batches(x))["0.weight"].flatten()

    steady = 4.5**0.5
    torch.testing.assert_close(shares("paper", None), torch.tensor([2, steady]) / (2 + steady))
    torch.testing.assert_close(shares("released", "frobenius"), torch.tensor([2**0.5, steady]) / (2**0.5 + steady))
    torch.testing.assert_close(shares("released", None), torch.tensor([2, 3]) / 5)


def test_a_unit_that_never_fires_loses_its_connections_bias_and_batch_norm() -> None:
    module = fill(convolutional(True), 0)
    module[1].bias.data[2] = -100  # pyright: ignore[reportIndexIssue]
    masks = one_round(module, torch.randn(4, 2, 8, 8))
    assert not masks["0.weight"][2].any()
    for name in ("0.bias", *(f"1.{leaf}" for leaf in NORM)):
        assert not masks[name][2]
    assert not masks["4.weight"][:, 2].any()  # nothing comes from there


def test_an_output_below_zero_is_not_silent() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))
    for part in (module[0], module[2]):
        part.weight.data = torch.arange(1.0, part.weight.numel() + 1).view_as(part.weight)  # pyright: ignore
        part.bias.data.zero_()  # pyright: ignore
    module[2].weight.data.neg_()  # pyright: ignore
    masks = one_round(module, torch.ones(2, 3))
    assert masks["2.weight"].any(1).all()


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


def test_spared_weights_get_no_mask_and_neither_does_their_bias() -> None:
    net = MaskedModel(fill(convolutional(True), 0), spare=["0.weight", "11.weight"])
    found = NNrelief(alpha_conv=0.3, alpha_fc=0.3).prune(net, batches(torch.randn(4, 2, 8, 8)), Prune(None)).masks
    assert not {"0.weight", "0.bias", "11.weight", "11.bias", "1.weight"} & set(found)
    assert {"4.weight", "4.bias", "9.weight"} <= set(found)


def test_removed_entries_stay_removed_in_later_rounds() -> None:
    net = MaskedModel(fill(convolutional(True), 3))
    x = torch.randn(6, 2, 8, 8)
    for _ in range(3):
        before = {name: mask.clone() for name, mask in net.masks.items()}
        net.apply(NNrelief().prune(net, batches(x), Prune(None)).masks)
        assert all(not (net.masks[name] & ~mask).any() for name, mask in before.items())


def test_a_plan_prunes_and_retrains_each_round_and_rewinds_where_asked() -> None:
    assert NNrelief(rounds=2).plan(100) == [Train(0, 100), *[Prune(None), RETRAIN] * 2]
    assert NNrelief(rounds=2, rewind=True).plan(100) == [Train(0, 100), *[Prune(None), Rewind(0), RETRAIN] * 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha_conv": 0.0}, "pruner.alpha_conv must be in (0, 1], got 0"),
        ({"alpha_fc": 95}, "pruner.alpha_fc must be in (0, 1], got 95; write 0.95 for 95 %"),
        ({"rounds": 0}, "pruner.rounds must be a whole number, in [1, 1000], got 0"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        NNrelief(**options)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


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
