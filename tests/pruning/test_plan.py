"""Plans of the known families, and where they are measured."""

from __future__ import annotations

import pytest

from benchmark.errors import UserError
from benchmark.pruning.plan import (
    RETRAIN,
    Phase,
    Point,
    Prune,
    Rewind,
    Train,
    epochs_of,
    family,
    geometric_sparsities,
    measured_points,
    prune_at_init,
    prune_gradually,
    train_prune_retrain,
    train_prune_rewind,
    train_softly,
    train_sparsely,
    without_retraining,
)


def test_pruning_at_initialisation_prunes_then_trains() -> None:
    assert prune_at_init(0.9, 100) == [Prune(0.9), Train(0, 100)]
    assert prune_at_init([0.5, 0.9], 100) == [Prune(0.5), Prune(0.9), Train(0, 100)]


def test_train_prune_retrain_retrains_after_every_pruning() -> None:
    assert train_prune_retrain([0.5, 0.9], 100) == [Train(0, 100), Prune(0.5), RETRAIN, Prune(0.9), RETRAIN]


def test_rewinding_trains_on_from_the_step_it_went_back_to() -> None:
    rounds = [Prune(0.2), Rewind(5), Train(5, 100)]
    assert train_prune_rewind([0.2], 100, 5) == [Train(0, 100), *rounds]


def test_rewinding_past_the_training_is_refused() -> None:
    with pytest.raises(UserError, match=r"rewind step must be in \[0, 100\)"):
        train_prune_rewind([0.2], 100, 100)


def test_geometric_sparsities_remove_the_same_share_each_round_and_end_exactly() -> None:
    assert geometric_sparsities(0.875, 3) == pytest.approx([0.5, 0.75, 0.875])
    assert geometric_sparsities(0.95, 7)[-1] == 0.95


def test_every_round_is_measured_before_and_after_its_training() -> None:
    plan = train_prune_rewind([0.2, 0.36], 10, 0)
    assert measured_points(plan) == [
        Point(0, 0, "trained"),
        Point(1, 1, "pruned"),
        Point(3, 1, "trained"),
        Point(4, 2, "pruned"),
        Point(6, 2, "trained"),
    ]


def test_prunings_with_nothing_between_them_are_one_round() -> None:
    assert measured_points(prune_at_init([0.5, 0.9], 10)) == [Point(1, 1, "pruned"), Point(2, 1, "trained")]


def test_a_round_that_trains_nothing_is_measured_once_as_its_end() -> None:
    plan = without_retraining(train_prune_retrain([0.5], 10))
    assert plan == [Train(0, 10), Prune(0.5)]
    assert measured_points(plan) == [Point(0, 0, "trained"), Point(1, 1, "trained")]


def test_dynamic_sparse_training_is_measured_at_its_start_and_end() -> None:
    plan: list[Phase] = [Prune(0.9), Train(0, 4), Prune(0.9, swap=0.3), Train(4, 8), Prune(0.9, swap=0.2), Train(8, 10)]
    assert measured_points(plan) == [Point(0, 1, "pruned"), Point(5, 1, "trained")]


def test_the_cost_of_a_plan_counts_whole_retrainings() -> None:
    assert epochs_of(train_prune_retrain([0.5, 0.9], 100), 10, 10, 4) == 18
    assert epochs_of(train_prune_rewind([0.5], 100, 50), 10, 10, 4) == 15


@pytest.mark.parametrize(
    ("plan", "when"),
    [
        ([Train(0, 10), Prune(0.0), RETRAIN], "never"),
        (prune_at_init([0.5, 0.9], 10), "at initialisation"),
        ([Train(0, 2), Prune(0.5), Train(2, 10)], "while training"),
        (prune_gradually([(2, 0.5), (4, 0.9)], 10), "while training"),
        (train_sparsely(0.9, 10, 2, 8, lambda share: 0.3), "while training"),
        (train_softly(0.9, 10), "while training"),
        (train_prune_retrain([0.5, None], 10), "after training"),
        ([Train(0, 10), Prune(0.5), Train(10, 12)], "after training"),
        (train_prune_rewind([0.5], 10, 2), "rewinding"),
        (train_prune_rewind([0.5], 10, 2, weights=False), "rewinding"),
    ],
)
def test_the_family_of_a_method_follows_from_its_plan(plan: list[Phase], when: str) -> None:
    assert family(plan, 10) == when
