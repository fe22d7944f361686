"""Methods that prune while they train: gradual magnitude, SET, RigL, soft thresholds, movement."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn
from torch.nn import functional as F

from baselines.gradual_magnitude import GradualMagnitude
from baselines.movement import Movement
from baselines.rigl import RigL
from baselines.set import SET
from baselines.soft_threshold import SoftThreshold
from benchmark.data import Batches
from benchmark.errors import UserError
from benchmark.network.masked_model import MaskedModel
from benchmark.pruning.guards import decide
from benchmark.pruning.plan import Prune, Train, measured_points
from benchmark.training.soft import own_tensors, soft_objective

BATCHES: Batches = [(torch.randn(6, 4), torch.randint(3, (6,)))]


def _near(value: float) -> Any:
    return pytest.approx(value)


def _net(seed: int = 0) -> MaskedModel:
    torch.manual_seed(seed)
    return MaskedModel(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)))


def test_gradual_sparsity_rises_with_the_cube_of_the_way() -> None:
    plan = GradualMagnitude(sparsity=0.8, every=2, start=0.1, stop=0.5).plan(20)  # from step 2 to step 10
    targets = [0.8 * (1 - (1 - t) ** 3) for t in (0.25, 0.5, 0.75)]
    assert plan == [
        Prune(0.0), Train(0, 4), Prune(_near(targets[0]), within=True),
        Train(4, 6), Prune(_near(targets[1]), within=True),
        Train(6, 8), Prune(_near(targets[2]), within=True),
        Train(8, 10), Prune(0.8, within=True), Train(10, 20),
    ]  # fmt: skip
    assert [(p.round, p.stage) for p in measured_points(plan)] == [(1, "pruned"), (1, "trained")]


def test_gradual_pruning_of_a_short_training_prunes_at_the_end_of_its_time() -> None:
    assert GradualMagnitude(sparsity=0.8).plan(8) == [Prune(0.0), Train(0, 6), Prune(0.8, within=True), Train(6, 8)]
    assert GradualMagnitude(sparsity=0.8).plan(2) == [Prune(0.0), Train(0, 1), Prune(0.8, within=True), Train(1, 2)]
    one_step = GradualMagnitude(sparsity=0.8, start=0.7, stop=0.71).plan(10)  # no time in which to rise
    assert one_step == [Prune(0.0), Train(0, 7), Prune(0.8, within=True), Train(7, 10)]


def test_set_exchanges_a_constant_share_and_rigl_less_and_less() -> None:
    swaps = [Prune(0.9, swap=0.3)] * 2
    assert SET(sparsity=0.9, every=10).plan(30) == [
        Prune(0.9), Train(0, 10), swaps[0], Train(10, 20), swaps[1], Train(20, 30)
    ]  # fmt: skip
    cosine = [Prune(0.9, swap=_near(0.15 * (1 + math.cos(math.pi * t / 30)))) for t in (10, 20)]
    assert RigL(sparsity=0.9, every=10).plan(40) == [
        Prune(0.9), Train(0, 10), cosine[0], Train(10, 20), cosine[1], Train(20, 40)
    ]  # fmt: skip


def test_rigl_grows_where_the_loss_asks_and_set_where_noise_says() -> None:
    layer = nn.Linear(1, 2, bias=False)
    layer.weight.data = torch.tensor([[2.0], [-1.0]])
    net = MaskedModel(nn.Sequential(layer))
    # x = 2, label 0: dL/dw = (p - onehot) x, p1 = 1 / (1 + e^6)
    grown = RigL().grow_score(net, [(torch.tensor([[2.0]]), torch.tensor([0]))])["0.weight"]
    assert grown.flatten().tolist() == pytest.approx([2 / (1 + math.e**6)] * 2, rel=1e-4)
    assert RigL().score(net, [])["0.weight"].tolist() == SET().score(net, [])["0.weight"].tolist() == [[2.0], [1.0]]
    torch.manual_seed(3)
    first = SET().grow_score(net, [])["0.weight"]
    torch.manual_seed(3)
    assert torch.equal(first, SET().grow_score(net, [])["0.weight"])


def _exchanged(mask: list[bool], drop: list[float], grow: list[float], share: float) -> list[bool]:
    """One weight after the other: the smallest kept goes, the most wanted of those not kept before comes."""
    kept, free = [i for i, k in enumerate(mask) if k], [i for i, k in enumerate(mask) if not k]
    count = min(int(share * len(kept)), len(free))
    found = list(mask)
    for _ in range(count):  # of equals the later goes
        worst = min(sorted(kept, reverse=True), key=lambda i: drop[i])
        kept.remove(worst)
        found[worst] = False
    for _ in range(count):  # of equals the earlier comes
        best = max(free, key=lambda i: grow[i])
        free.remove(best)
        found[best] = True
    return found


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), sparsity=st.floats(0.05, 0.95), share=st.floats(0.01, 0.99))
def test_rigl_exchanges_what_a_literal_exchange_does(seed: int, sparsity: float, share: float) -> None:
    net = _net(seed)
    pruner = RigL(sparsity=sparsity)
    net.apply(decide(pruner, net, BATCHES, Prune(sparsity)).masks)
    for w in net.weights.values():
        w.copy_((w * 8).round())  # ties
    drop, grow = pruner.score(net, BATCHES), pruner.grow_score(net, BATCHES)
    found = decide(pruner, net, BATCHES, Prune(sparsity, swap=share)).masks
    for name, mask in net.masks.items():
        kept, dropped, grown = (part.flatten().tolist() for part in (mask, drop[name], grow[name]))
        assert found[name].flatten().tolist() == _exchanged(kept, dropped, grown, share)


@pytest.mark.parametrize("pruner", [SET(sparsity=0.0), RigL(sparsity=0.0)])
def test_nothing_is_exchanged_where_nothing_is_left_out(pruner: SET | RigL) -> None:
    net = _net()
    assert all(mask.all() for mask in decide(pruner, net, BATCHES, Prune(0.0, swap=0.3)).masks.values())


def test_a_soft_threshold_shrinks_weights_by_the_sigmoid_of_s() -> None:
    pruner = SoftThreshold(initial=-2.0, rate=4.0)
    threshold = 1 / (1 + math.e**2)  # 0.119
    weights = {"w": torch.tensor([0.5, -0.5, threshold, 0.1, -0.1, 0.0])}
    own = {"w": torch.tensor(-0.5)}
    found = pruner.effective(weights, own, 0.0)["w"].tolist()
    assert found == pytest.approx([0.5 - threshold, threshold - 0.5, 0, 0, 0, 0], abs=1e-7)


def test_soft_thresholds_learn_and_what_is_below_them_goes() -> None:
    net = _net()
    pruner = SoftThreshold(initial=-1.5, decay=0.1, rate=2.0)
    net.own = own_tensors(pruner, net)
    loss = soft_objective(pruner, net, lambda step: 0.0)(BATCHES[0][0], BATCHES[0][1], 0)
    loss.backward()
    s = net.own["0.weight"]
    assert s.shape == ()
    assert s.item() == -0.75
    assert s.grad is not None
    # By hand: dL/ds' = -sum over what is left of sign(w) dL/dv * sigmoid'(s), and decay * s; all times the rate.
    effective = {n: v.detach().requires_grad_() for n, v in pruner.effective(net.weights, net.own, 0.0).items()}
    outputs = torch.func.functional_call(net.module, effective, (BATCHES[0][0],))
    slopes = torch.autograd.grad(F.cross_entropy(outputs, BATCHES[0][1]), list(effective.values()))
    sigma = torch.sigmoid(torch.tensor(-1.5))
    by_loss = -(slopes[0] * effective["0.weight"].sign()).sum() * sigma * (1 - sigma)
    assert s.grad.item() == pytest.approx(2 * (by_loss.item() + 0.1 * -1.5), rel=1e-4)
    pruned = decide(pruner, net, BATCHES, Prune(None))
    for name, w in net.weights.items():
        assert torch.equal(pruned.masks[name], w.abs() > sigma)
        assert torch.allclose(pruned.values[name].abs(), (w.abs() - sigma).relu())


def test_movement_sums_up_how_weights_move_and_passes_straight_through_the_choice() -> None:
    net = _net()
    pruner = Movement(sparsity=0.5, warmup=0.1, cooldown=0.2)
    net.own = own_tensors(pruner, net)
    assert all(torch.equal(s, torch.zeros_like(w)) for s, w in zip(net.own.values(), net.weights.values(), strict=True))
    with torch.no_grad():
        for s in net.own.values():
            s.copy_(torch.rand_like(s))
    weights = {n: w.clone().requires_grad_() for n, w in net.weights.items()}
    effective = pruner.effective(weights, net.own, 1.0)
    masks = decide(pruner, net, BATCHES, Prune(0.5)).masks
    assert sum(int(m.sum()) for m in masks.values()) == round(35 / 2)
    factor = {n: torch.randn_like(w) for n, w in weights.items()}
    torch.stack([(effective[n] * factor[n]).sum() for n in weights]).sum().backward()
    for name, w in weights.items():
        assert torch.equal(effective[name], w * masks[name])
        assert w.grad is not None
        assert torch.equal(w.grad, factor[name] * masks[name])
        assert torch.allclose(net.own[name].grad, factor[name] * w.detach())  # pyright: ignore


def test_the_share_that_movement_keeps_falls_with_the_cube_between_warm_up_and_cool_down() -> None:
    pruner = Movement(sparsity=0.8, warmup=0.1, cooldown=0.2)
    weights = {"w": torch.ones(1000)}
    own = {"w": torch.rand(1000)}
    kept = [int((pruner.effective(weights, own, p)["w"] != 0).sum()) for p in (0.0, 0.1, 0.45, 0.8, 1.0)]
    assert kept == [1000, 1000, 300, 200, 200]  # half-way 0.8 * (1 - 1/8) = 0.7 are gone


def test_methods_that_take_part_in_training_prune_at_its_end() -> None:
    assert SoftThreshold().plan(9) == [Prune(0.0), Train(0, 9), Prune(None, within=True)]
    assert Movement(sparsity=0.7).plan(9) == [Prune(0.0), Train(0, 9), Prune(0.7, within=True)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GradualMagnitude(every=0), "every must be a whole number, at least 1, got 0"),
        (lambda: GradualMagnitude(start=0.8), "rising shares of the training, in"),
        (lambda: SET(every=0), "every must be a whole number, at least 1"),
        (lambda: SET(swap=1.0), r"swap must be a number, in \(0, 1\), got 1"),
        (lambda: RigL(stop=0.0), r"stop must be a number, in \(0, 1\], got 0"),
        (lambda: SoftThreshold(initial=1.0), "initial must be a number, below 0"),
        (lambda: SoftThreshold(decay=-1.0), "decay must be a number, at least 0"),
        (lambda: Movement(warmup=0.5, cooldown=0.5), "shares of the training that leave some between them"),
        (lambda: Movement(structure="filters"), "structure must be weights, kernels or n:m"),
    ],
)
def test_impossible_options_are_refused(make, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
