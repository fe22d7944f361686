"""The short baselines: scores worked out by hand, plans as lists."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from baselines.dense import Dense
from baselines.lottery_ticket import LotteryTicket
from baselines.magnitude import Magnitude
from baselines.random import Random
from baselines.snip import SNIP
from benchmark.errors import UserError
from benchmark.network.masked_model import MaskedModel
from benchmark.pruning.plan import RETRAIN, Prune, Rewind, Train


def _about(value: float) -> Any:
    """Equal to the floats near it, in the place of one."""
    return pytest.approx(value)


def _two_weights() -> MaskedModel:
    """Logits (2x, -x) for one input x."""
    layer = nn.Linear(1, 2, bias=False)
    layer.weight.data = torch.tensor([[2.0], [-1.0]])
    return MaskedModel(nn.Sequential(layer))


def test_magnitude_scores_are_absolute_weights() -> None:
    assert Magnitude().score(_two_weights(), [])["0.weight"].tolist() == [[2.0], [1.0]]


def test_snip_scores_are_weight_times_gradient() -> None:
    # x = 0 and x = 1 with label 0: dL/dw = mean of (p - onehot) x; for x = 1, p_1 = 1 / (1 + e^3) for class 1.
    other = 1 / (1 + torch.e**3)
    scores = SNIP().score(_two_weights(), [(torch.tensor([[0.0], [1.0]]), torch.tensor([0, 0]))])
    assert scores["0.weight"].flatten().tolist() == pytest.approx([2 * other / 2, other / 2], rel=1e-5)


def test_snip_averages_over_batches_of_unequal_size_by_example() -> None:
    inputs, labels = torch.tensor([[0.5], [1.0], [-2.0]]), torch.tensor([0, 1, 0])
    whole = SNIP().score(_two_weights(), [(inputs, labels)])
    parts = SNIP().score(_two_weights(), [(inputs[:1], labels[:1]), (inputs[1:], labels[1:])])
    assert torch.allclose(whole["0.weight"], parts["0.weight"])


def test_random_scores_follow_the_random_state_and_not_the_weights() -> None:
    torch.manual_seed(3)
    first = Random().score(_two_weights(), [])["0.weight"]
    torch.manual_seed(3)
    assert torch.equal(first, Random().score(_two_weights(), [])["0.weight"])
    assert not torch.equal(first, Random().score(_two_weights(), [])["0.weight"])


def test_at_initialisation_methods_prune_before_they_train() -> None:
    for cls in (SNIP, Random):
        assert cls(sparsity=0.95).plan(100) == [Prune(0.95), Train(0, 100)]


def test_iterative_magnitude_ends_at_its_target() -> None:
    plan = Magnitude(sparsity=0.75, rounds=2).plan(100)
    assert plan == [Train(0, 100), Prune(_about(0.5)), RETRAIN, Prune(0.75), RETRAIN]


def test_one_shot_magnitude_prunes_once() -> None:
    assert Magnitude(sparsity=0.75, rounds=1).plan(100) == [Train(0, 100), Prune(0.75), RETRAIN]


def test_lottery_ticket_removes_a_fifth_of_what_is_left_and_rewinds() -> None:
    plan = LotteryTicket(sparsity=0.36, rounds=2, rewind_step=7).plan(100)
    twice = [Prune(_about(0.2)), Rewind(7), Train(7, 100), Prune(_about(0.36)), Rewind(7), Train(7, 100)]
    assert plan == [Train(0, 100), *twice]


def test_the_dense_reference_of_equal_epochs_retrains_without_removing() -> None:
    assert Dense().plan(100) == [Train(0, 100)]
    assert Dense(rounds=1).plan(100) == [Train(0, 100), Prune(0.0), RETRAIN]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Magnitude(rounds=10**12), r"rounds must be a whole number, in \[1, 1000\], got 1000000000000"),
        (lambda: LotteryTicket(rounds=0), r"rounds must be a whole number, in \[1, 1000\], got 0"),
        (lambda: Dense(rounds=-1), r"rounds must be a whole number, in \[0, 1000\], got -1"),
        (lambda: SNIP(sparsity=90), "write 0.9 for 90 %"),
    ],
)
def test_impossible_options_are_refused(make, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
