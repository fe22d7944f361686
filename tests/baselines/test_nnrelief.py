"""NNrelief against the released program, a slow reference, and numbers worked out by hand."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from baselines.nnrelief import NNrelief
from benchmark import RETRAIN, MaskedModel, Prune, Rewind, Train
from benchmark.errors import UserError
from benchmark.models.lenet import LeNet5, LeNet300100
from benchmark.network.layers import layers
from tests.baselines.nnrelief_networks import NORM, batches, convolutional, fill, one_round
from tests.baselines.nnrelief_reference import Residual, residual_round, sequential_round

GOLDEN = Path(__file__).parents[1] / "golden"


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
