"""Methods that prune before training: GraSP, SynFlow, SNIP in rounds, random distributions, early magnitude."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn
from torch.autograd.functional import hessian
from torch.func import functional_call
from torch.nn import functional as F

from baselines.early_magnitude import EarlyMagnitude
from baselines.grasp import GraSP
from baselines.random import Random
from baselines.snip import SNIP
from baselines.synflow import SynFlow
from benchmark.errors import UserError
from benchmark.network.masked_model import MaskedModel
from benchmark.pruning.guards import decide
from benchmark.pruning.plan import Prune, Train, measured_points

BATCHES = [(torch.randn(3, 4), torch.tensor([0, 2, 1])), (torch.randn(2, 4), torch.tensor([1, 1]))]


def _near(value: float) -> Any:
    return pytest.approx(value)


def _one_input() -> MaskedModel:
    """Logits (2x, -x) for one input x."""
    layer = nn.Linear(1, 2, bias=False)
    layer.weight.data = torch.tensor([[2.0], [-1.0]])
    return MaskedModel(nn.Sequential(layer))


def test_grasp_scores_are_weight_times_hessian_times_gradient() -> None:
    # x = 1, label 0, temperature 1: p = softmax(2, -1), g = (p0 - 1, p1) = (-q, q), H = q (1 - q) [[1, -1], [-1, 1]].
    q = 1 / (1 + math.e**3)
    scores = GraSP(temperature=1.0).score(_one_input(), [(torch.tensor([[1.0]]), torch.tensor([0]))])
    product = q * (1 - q) * 2 * q
    assert scores["0.weight"].flatten().tolist() == pytest.approx([-2 * product, -product], rel=1e-4)


def test_grasp_removes_what_lowers_the_gradient_norm_least() -> None:
    # Both weights have a negative score: without either the gradient is larger. The one that adds most goes first.
    kept = decide(GraSP(sparsity=0.5), _one_input(), [(torch.tensor([[1.0]]), torch.tensor([0]))], Prune(0.5)).masks
    assert kept["0.weight"].tolist() == [[False], [True]]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), hidden=st.integers(1, 5), temperature=st.sampled_from([1.0, 20.0, 200.0]))
def test_grasp_is_the_full_hessian_times_the_gradient(seed: int, hidden: int, temperature: float) -> None:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, 3)).double()
    net = MaskedModel(module)
    inputs, labels = torch.cat([x for x, _ in BATCHES]).double(), torch.cat([y for _, y in BATCHES])
    shapes = {name: w.shape for name, w in net.weights.items()}
    sizes = [shape.numel() for shape in shapes.values()]

    def loss(flat: torch.Tensor) -> torch.Tensor:
        parts = {n: p.view(s) for (n, s), p in zip(shapes.items(), flat.split(sizes), strict=True)}
        return F.cross_entropy(functional_call(module, parts, (inputs,)) / temperature, labels)

    flat = torch.cat([w.flatten() for w in net.weights.values()]).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(flat), flat)
    expected = flat * (hessian(loss, flat) @ gradient)
    found = GraSP(temperature=temperature).score(net, [(x.double(), y) for x, y in BATCHES])
    assert torch.allclose(torch.cat([s.flatten() for s in found.values()]), expected.detach(), rtol=1e-9, atol=1e-18)


def test_grasp_takes_a_second_derivative_through_attention() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.out = nn.Linear(4, 12), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = self.qkv(x[:, None, None].expand(-1, 1, 5, -1)).chunk(3, -1)
            return self.out(F.scaled_dot_product_attention(q, k, v)[:, 0, 0])

    scores = GraSP().score(MaskedModel(Attention()), BATCHES)
    assert scores["qkv.weight"][8:].abs().sum() > 0


def _paths(weights: list[torch.Tensor]) -> list[torch.Tensor]:
    """For each weight the sum, over all paths through it, of the product of the absolute weights on the path."""
    found = [torch.zeros_like(w) for w in weights]

    def walk(layer: int, unit: int, used: list[tuple[int, int, int]], product: float) -> None:
        if layer == len(weights):
            for depth, row, column in used:
                found[depth][row, column] += product
            return
        for row in range(len(weights[layer])):
            edge = abs(weights[layer][row, unit].item())
            walk(layer + 1, row, [*used, (layer, row, unit)], product * edge)

    for unit in range(weights[0].shape[1]):
        walk(0, unit, [], 1.0)
    return found


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), widths=st.lists(st.integers(1, 4), min_size=2, max_size=4))
def test_synflow_is_the_sum_over_all_paths_through_a_weight(seed: int, widths: list[int]) -> None:
    torch.manual_seed(seed)
    parts = [m for a, b in pairwise(widths) for m in (nn.Linear(a, b, bias=False), nn.ReLU())]
    net = MaskedModel(nn.Sequential(*parts))
    found = SynFlow().score(net, [(torch.randn(2, widths[0]), torch.tensor([0, 0]))])
    for score, expected in zip(found.values(), _paths([w.double() for w in net.weights.values()]), strict=True):
        assert torch.allclose(score, expected, rtol=1e-12)


def test_synflow_looks_at_shapes_and_not_at_data_and_counts_in_float64() -> None:
    module = nn.Sequential(*[nn.Linear(4, 4, bias=False) for _ in range(3)])
    for weight in module.parameters():
        weight.data.fill_(1e15)
    net = MaskedModel(module)
    scores = [SynFlow().score(net, [(x, torch.zeros(2))])["0.weight"] for x in (torch.zeros(2, 4), torch.randn(2, 4))]
    assert torch.equal(*scores)
    assert torch.allclose(scores[0], torch.full((4, 4), 16e45, dtype=torch.float64))


def test_synflow_uses_batch_norm_in_evaluation_mode_by_absolute_values() -> None:
    module = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, eps=0.0))
    module.get_parameter("0.weight").data.fill_(-3.0)
    module.get_parameter("1.weight").data.fill_(-2.0)
    assert module.training
    assert SynFlow().score(MaskedModel(module), [(torch.randn(2, 1), torch.zeros(2))])["0.weight"].item() == 6


def test_synflow_never_empties_a_layer_where_magnitude_at_initialisation_does() -> None:
    torch.manual_seed(0)
    wide = [m for a, b in [(20, 100), (100, 100), (100, 5)] for m in (nn.Linear(a, b), nn.ReLU())]
    net = MaskedModel(nn.Sequential(*wide[:-1]))
    batches = [(torch.randn(2, 20), torch.tensor([0, 1]))]
    target = 0.996
    by_magnitude = decide(EarlyMagnitude(sparsity=target), net, batches, Prune(target)).masks
    assert min(int(mask.sum()) for mask in by_magnitude.values()) == 0
    pruner = SynFlow(sparsity=target)
    for phase in pruner.plan(10)[:-1]:
        assert isinstance(phase, Prune)
        net.apply(decide(pruner, net, batches, phase).masks)
    assert min(int(mask.sum()) for mask in net.masks.values()) > 0


def test_rounds_before_training_are_one_round_of_falling_density() -> None:
    assert SynFlow(sparsity=0.9).plan(50) == [*(Prune(_near(1 - 0.1 ** (i / 100))) for i in range(1, 101)),
                                              Train(0, 50)]  # fmt: skip
    plan = SNIP(sparsity=0.75, rounds=2).plan(50)
    assert plan == [Prune(_near(0.5)), Prune(0.75), Train(0, 50)]
    assert [(p.round, p.stage) for p in measured_points(plan)] == [(1, "pruned"), (1, "trained")]
    assert SNIP(sparsity=0.75).plan(50) == [Prune(0.75), Train(0, 50)]


def test_snip_scores_the_network_that_is_left() -> None:
    torch.manual_seed(0)
    net = MaskedModel(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)))
    net.apply({"2.weight": torch.zeros(3, 6, dtype=torch.bool)})  # nothing flows back to the first layer any more
    assert SNIP().score(net, BATCHES)["0.weight"].abs().sum() == 0


SHAPES = {"a": (100, 10), "b": (100, 100), "c": (10, 100)}
DENSITIES = {  # of 12,000 weights a tenth is kept
    "uniform": [0.1, 0.1, 0.1],
    "erk": [110 / 1000, 200 / 10_000, 110 / 1000],  # times 1200 / 420
}


@pytest.mark.parametrize("distribution", ["global", "uniform", "erk"])
def test_random_pruning_has_the_densities_of_its_distribution(distribution: str) -> None:
    torch.manual_seed(0)
    net = MaskedModel(nn.Sequential(*[nn.Linear(i, o, bias=False) for o, i in SHAPES.values()]))
    pruner = Random(sparsity=0.9, distribution=distribution)  # pyright: ignore
    kept = [int(mask.sum()) for mask in decide(pruner, net, BATCHES, Prune(0.9)).masks.values()]
    if distribution == "global":  # drawn from all alike: a tenth of each, but for chance
        assert sum(kept) == 1200
        assert all(
            abs(k - o * i / 10) < 4 * math.sqrt(o * i / 10) for k, (o, i) in zip(kept, SHAPES.values(), strict=True)
        )
        return
    scale = 1.0 if distribution == "uniform" else 1200 / 420
    sizes = [o * i for o, i in SHAPES.values()]
    assert kept == [round(scale * d * n) for d, n in zip(DENSITIES[distribution], sizes, strict=True)]


def test_early_magnitude_prunes_once_at_its_step_and_trains_on() -> None:
    assert EarlyMagnitude(sparsity=0.5).plan(100) == [Prune(0.5), Train(0, 100)]
    plan = EarlyMagnitude(sparsity=0.5, step=7).plan(100)
    assert plan == [Prune(0.0), Train(0, 7), Prune(0.5, within=True), Train(7, 100)]
    assert EarlyMagnitude().score(_one_input(), [])["0.weight"].tolist() == [[2.0], [1.0]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GraSP(temperature=0.0), "temperature must be a number, above 0, got 0"),
        (lambda: SynFlow(rounds=0), "rounds must be a whole number, in"),
        (lambda: SNIP(rounds=0), "rounds must be a whole number, in"),
        (lambda: EarlyMagnitude(step=-1), "step must be a whole number, at least 0"),
        (lambda: EarlyMagnitude(step=100).plan(100), "at rising steps after the first"),
    ],
)
def test_impossible_options_are_refused(make, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
