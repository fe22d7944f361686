"""Plans of the iterative methods that go back, or on, after training: lottery tickets, learning rates, fine-tuning."""

from __future__ import annotations

from typing import Any

import pytest

from baselines.fine_tuning import FineTuning
from baselines.lottery_ticket import LotteryTicket
from baselines.lr_rewinding import LRRewinding
from benchmark.config.settings import Recipe
from benchmark.errors import UserError
from benchmark.pruning.plan import Prune, Rewind, Train, epochs_of
from benchmark.training.loop import learning_rate


def _near(value: float) -> Any:
    return pytest.approx(value)


HALF = Prune(_near(0.5))


def test_learning_rate_rewinding_repeats_the_end_of_training_with_the_trained_weights() -> None:
    plan = LRRewinding(sparsity=0.75, rounds=2).plan(100)
    assert plan == [Train(0, 100), HALF, Train(0, 100), Prune(0.75), Train(0, 100)]
    plan = LRRewinding(sparsity=0.5, rounds=1, retrain_share=0.3).plan(100)
    assert plan == [Train(0, 100), Prune(0.5), Train(70, 100)]


def test_fine_tuning_trains_on_at_the_last_learning_rate() -> None:
    plan = FineTuning(sparsity=0.75, rounds=2, retrain_share=0.5).plan(100)
    assert plan == [Train(0, 100), HALF, Train(100, 150), Prune(0.75), Train(150, 200)]
    recipe = Recipe(decay_at=(0.5, 0.75))
    last = learning_rate(recipe, 99, 100)
    assert {learning_rate(recipe, step, 100) for step in range(100, 200)} == {last}
    assert last == pytest.approx(recipe.rate / 100)


def test_both_cost_the_same() -> None:
    costs = {epochs_of(cls(rounds=3, retrain_share=0.3).plan(100), 10, 10, 7) for cls in (LRRewinding, FineTuning)}
    assert costs == {10 + 3 * 3}


def test_a_lottery_ticket_goes_back_to_two_percent_of_training_unless_told_a_step() -> None:
    assert LotteryTicket(sparsity=0.5, rounds=1).plan(1000) == [
        Train(0, 1000), Prune(0.5), Rewind(20), Train(20, 1000)
    ]  # fmt: skip
    assert LotteryTicket(sparsity=0.5, rounds=1, rewind_step=0).plan(1000)[2:] == [Rewind(0), Train(0, 1000)]


@pytest.mark.parametrize("cls", [LRRewinding, FineTuning])
@pytest.mark.parametrize("share", [0.0, 1.5])
def test_impossible_options_are_refused(cls: type, share: float) -> None:
    with pytest.raises(UserError, match=r"retrain_share must be a number, in \(0, 1\], got"):
        cls(retrain_share=share)
    with pytest.raises(UserError, match="rounds must be a whole number, in"):
        cls(rounds=0)
