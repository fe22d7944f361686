"""Methods that prune a trained network: scores by hand and against loops, plans, and small runs from start to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.l1_filters import L1Filters
from baselines.lamp import LAMP
from baselines.magnitude import Magnitude
from baselines.taylor import Taylor
from baselines.wanda import Wanda
from benchmark.config.options import run_config
from benchmark.errors import UserError
from benchmark.metrics.flops import dense_flops, structural_flops
from benchmark.network.masked_model import MaskedModel
from benchmark.network.removal import shrink
from benchmark.pruning import decide
from benchmark.pruning.plan import RETRAIN, Prune, Train
from benchmark.records.record import Record
from benchmark.runs.execution import carry_out


def _linear(*weights: list[list[float]]) -> MaskedModel:
    layers = []
    for weight in weights:
        layer = nn.Linear(len(weight[0]), len(weight), bias=False)
        layer.weight.data = torch.tensor(weight)
        layers.append(layer)
    return MaskedModel(nn.Sequential(*layers))


def _convolutional(seed: int, groups: int = 1, width: int = 4) -> MaskedModel:
    torch.manual_seed(seed)
    norm = nn.BatchNorm2d(width)
    conv = nn.Conv2d(2, width, 3, stride=2, padding=1)
    grouped = nn.Conv2d(width, width, (3, 1), groups=groups, bias=False)
    module = nn.Sequential(conv, norm, nn.ReLU(), grouped, nn.ReLU(), nn.Flatten(), nn.Linear(width * 2 * 4, 3))
    return MaskedModel(module.double())


def _batches(seed: int, sizes: tuple[int, ...] = (5, 3)) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(n, 2, 8, 8, generator=generator, dtype=torch.double), torch.randint(3, (n,), generator=generator))
        for n in sizes
    ]


# LAMP


def test_lamp_scores_are_shares_of_the_squares_that_are_as_large_or_larger() -> None:
    # Squares 9, 1, 4, 4, with their sums from the largest down 9, 18, 13, 17: of equal ones the first is larger.
    scores = LAMP().score(_linear([[3.0, -1.0], [2.0, -2.0]]), [])["0.weight"]
    assert scores.flatten().tolist() == pytest.approx([9 / 9, 1 / 18, 4 / 13, 4 / 17])


def test_lamp_keeps_the_largest_weight_of_every_layer_to_the_end() -> None:
    net = _linear([[1e-6, 2e-6], [0.0, 0.0]], [[5.0, 4.0], [3.0, 2.0]])
    masks = decide(LAMP(), net, [], Prune(0.75)).masks
    assert [mask.flatten().tolist() for mask in masks.values()] == [[False, True, False, False], [True] + [False] * 3]


@given(st.integers(0, 999), st.integers(1, 4))
def test_lamp_scores_agree_with_a_loop(seed: int, groups: int) -> None:
    net = _convolutional(seed, groups=1 if groups == 3 else groups)
    for name, scores in LAMP().score(net, []).items():
        squares = net.weights[name].flatten().square()
        for square, score in zip(squares, scores.flatten(), strict=True):
            assert torch.isclose(score, square / squares[squares >= square].sum(), rtol=1e-9)


# Wanda


def test_wanda_scores_are_weights_times_norms_of_inputs() -> None:
    inputs = torch.tensor([[3.0, 1.0], [-4.0, 0.0]])
    scores = Wanda().score(_linear([[2.0, -5.0], [0.0, 1.0]]), [(inputs, torch.zeros(2))])["0.weight"]
    assert scores.tolist() == [[10.0, 5.0], [0.0, 1.0]]


def test_wanda_keeps_the_same_number_in_every_unit_and_of_equal_scores_the_first() -> None:
    net = _linear([[1.0, 1.0, 1.0, 1.0], [8.0, 7.0, 9.0, 6.0]])
    masks = decide(Wanda(), net, [(torch.ones(2, 4), torch.zeros(2, dtype=torch.long))], Prune(0.5)).masks
    assert masks["0.weight"].tolist() == [[True, True, False, False], [True, False, True, False]]


@given(st.integers(0, 999), st.sampled_from([1, 2, 4]))
@settings(max_examples=15, deadline=None)
def test_wanda_scores_agree_with_a_loop_over_examples_positions_and_taps(seed: int, groups: int) -> None:
    net, batches = _convolutional(seed, groups), _batches(seed)
    scores = Wanda().score(net, batches)
    module = net.module.eval()
    inputs = torch.cat([images for images, _ in batches])
    with torch.no_grad():
        second = module[:3](inputs)  # pyright: ignore
        third = module[:6](inputs)  # pyright: ignore
    padded = F.pad(inputs, (1, 1, 1, 1))
    for out, channel, row, column in torch.cartesian_prod(*map(torch.arange, (4, 2, 3, 3))).tolist()[seed % 7 :: 7]:
        read = padded[:, channel, row : row + 7 : 2, column : column + 7 : 2]
        expected = net.weights["0.weight"][out, channel, row, column].abs() * read.square().sum().sqrt()
        assert torch.isclose(scores["0.weight"][out, channel, row, column], expected, rtol=1e-9)
    for out, channel, row in torch.cartesian_prod(*map(torch.arange, (4, 4 // groups, 3))).tolist():
        read = second[:, out // (4 // groups) * (4 // groups) + channel, row : row + 2]
        expected = net.weights["3.weight"][out, channel, row, 0].abs() * read.square().sum().sqrt()
        assert torch.isclose(scores["3.weight"][out, channel, row, 0], expected, rtol=1e-9)
    assert torch.allclose(scores["6.weight"], net.weights["6.weight"].abs() * third.norm(dim=0), rtol=1e-9)


# Taylor


def test_taylor_scores_are_squares_of_weight_times_gradient_averaged_over_batches() -> None:
    # Logits (2x, -x); at x = 1, label 0: dL/dw = -/+ p_1 with p_1 = 1 / (1 + e^3); at x = 0 nothing changes.
    other = 1 / (1 + torch.e**3)
    batches = [(torch.tensor([[x]]), torch.tensor([0])) for x in (0.0, 1.0)]
    scores = Taylor().score(_linear([[2.0], [-1.0]]), batches)["0.weight"]
    assert scores.flatten().tolist() == pytest.approx([(2 * other) ** 2 / 2, other**2 / 2], rel=1e-5)


@given(st.integers(0, 999))
@settings(max_examples=10, deadline=None)
def test_taylor_scores_agree_with_backward_passes_batch_by_batch(seed: int) -> None:
    net, batches = _convolutional(seed), _batches(seed)
    expected = {name: torch.zeros_like(w) for name, w in net.weights.items()}
    for inputs, labels in batches:
        again = _convolutional(seed).module.train()
        F.cross_entropy(again(inputs), labels).backward()
        for name in expected:
            weight = again.get_parameter(name)
            assert weight.grad is not None
            expected[name] += (weight.detach() * weight.grad).square() / len(batches)
    for name, scores in Taylor().score(net, batches).items():
        assert torch.allclose(scores, expected[name], rtol=1e-8, atol=1e-18)


# L1 filters


def test_l1_filters_keep_the_largest_sums_of_each_layer_and_of_equal_ones_the_first() -> None:
    net = _linear([[1.0, -1.0], [3.0, 0.0], [1.0, 1.0], [0.5, 1.5]], [[9.0, 9.0, 9.0, 9.0]])
    masks = decide(L1Filters(), net, [(torch.randn(2, 2), torch.zeros(2))], Prune(0.5)).masks
    assert masks["0.weight"].tolist() == [[True, True], [True, True], [False, False], [False, False]]
    assert masks["1.weight"].tolist() == [[True, True, False, False]]  # the output stays, and reads what is left


def test_l1_filters_leave_the_network_that_half_the_filters_make() -> None:
    def network(width: int) -> nn.Module:
        first = [nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3)]
        return nn.Sequential(*first, nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(), nn.Linear(width * 16, 10))

    torch.manual_seed(0)
    net = MaskedModel(network(8))
    example = torch.randn(2, 1, 8, 8)
    net.apply(decide(L1Filters(), net, [(example, torch.zeros(2, dtype=torch.long))], Prune(0.5)).masks)
    assert structural_flops(shrink(net, (1, 8, 8)), (1, 8, 8)).total == dense_flops(network(4), (1, 8, 8)).total
    assert all(int(net.masks[f"{norm}.bias"].sum()) == 4 for norm in (1, 4))


# Plans and options

AFTER_TRAINING: list[type[Any]] = [Magnitude, LAMP, Taylor, Wanda, L1Filters]


@pytest.mark.parametrize("cls", AFTER_TRAINING)
def test_they_train_then_prune_and_retrain_in_rounds(cls: type[Any]) -> None:
    assert cls(sparsity=0.75, rounds=1).plan(100) == [Train(0, 100), Prune(0.75), RETRAIN]
    half: Any = pytest.approx(0.5)
    twice = [Train(0, 100), Prune(half), RETRAIN, Prune(0.75), RETRAIN]
    assert cls(sparsity=0.75, rounds=2).plan(100) == twice
    with pytest.raises(UserError, match="rounds must be a whole number, in"):
        cls(rounds=0)


@pytest.mark.parametrize("distribution", ["global", "uniform", "erk"])
def test_magnitude_spreads_its_target_as_asked(distribution: Any) -> None:
    net = _convolutional(0)
    masks = decide(Magnitude(sparsity=0.5, distribution=distribution), net, _batches(0), Prune(0.5)).masks
    shares = [float(mask.double().mean()) for mask in masks.values()]
    assert sum(int(mask.sum()) for mask in masks.values()) == pytest.approx(
        0.5 * sum(m.numel() for m in masks.values()), abs=2
    )
    if distribution == "uniform":
        assert shares == pytest.approx([0.5] * 3, abs=0.5 / 48)
    elif distribution == "erk":
        sums = [(4 + 2 + 3 + 3) / 72, (4 + 4 + 3 + 1) / 48, (3 + 32) / 96]  # of dimensions, by the weights
        assert shares == pytest.approx([108 / 59 * share for share in sums], abs=0.5 / 48)


def test_l1_filters_remove_nothing_but_filters() -> None:
    with pytest.raises(UserError, match="must be filters, got weights"):
        L1Filters(structure="weights")


# Runs

SMALL = {"train.epochs": 2, "retrain.epochs": 1, "train_limit": 400, "wandb": "off", "device": "cpu"}


def _points(tmp_path: Path, **options: Any) -> list[dict[str, Any]]:
    outcome = carry_out(run_config({**SMALL, "results": tmp_path, **options}))
    assert outcome.state == "done", outcome.reason
    return Record(outcome.folder).read_rows("points.jsonl")


@pytest.mark.parametrize("method", ["lamp", "taylor", "wanda", "sparsegpt"])
def test_a_run_of_two_rounds_reaches_its_target(method: str, tmp_path: Path) -> None:
    points = _points(tmp_path, pruner=f"{method}(rounds=2, sparsity=0.75)")
    assert [(p["round"], p["stage"]) for p in points] == [
        (0, "trained"),
        *((r, s) for r in (1, 2) for s in ("pruned", "trained")),
    ]
    assert [p["sparsity_prunable"] for p in points] == pytest.approx([0, 0.5, 0.5, 0.75, 0.75], abs=5e-3)
    assert points[-1]["top1"] > 0.5


def test_a_run_that_removes_filters_is_faster_on_ordinary_hardware(tmp_path: Path) -> None:
    points = _points(tmp_path, pruner="l1_filters", model="lenet_5")
    assert points[-1]["speedup_structural"] > 1.5
    assert points[-1]["speedup_structural"] == pytest.approx(points[-1]["speedup_theoretical"])


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt"])
def test_two_of_four_is_one_pruning_at_half(method: str, tmp_path: Path) -> None:
    one_shot = {"pruner": f"{method}(rounds=1, sparsity=0.5, structure='2:4')"}
    points = _points(tmp_path, **one_shot)
    assert [p["stage"] for p in points] == ["trained", "pruned", "trained"]
    assert points[-1]["sparsity_prunable"] == 0.5
    with pytest.raises(UserError, match=r"2:4 is reached at once, .* set pruner.rounds to 1"):
        carry_out(
            run_config({**SMALL, "results": tmp_path, "pruner": one_shot["pruner"].replace("rounds=1", "rounds=3")})
        )


def test_without_retraining_a_pruned_network_is_measured_once_as_it_is(tmp_path: Path) -> None:
    points = _points(tmp_path, pruner="wanda", **{"retrain.epochs": 0})
    assert [(p["round"], p["stage"], p["epochs_total"]) for p in points] == [(0, "trained", 2), (1, "trained", 2)]
    assert points[1]["sparsity_prunable"] == 0.5
