"""The smallest network at comparable accuracy: chosen on validation, by hand-worked curves and by simulation."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

import pytest

from reports.curves import settings_of
from reports.records import RunRecord
from reports.selection import OperatingPoint, drop_on_test, incomplete, is_at_end, operating_points, smallest, verdict
from reports.statistics import estimate
from tests.reports.made_up import point, run_record

DENSE = 0.99


def at(compression: float, *validation: float, test: Sequence[float] = ()) -> OperatingPoint:
    """A point with these drops of the seeds 0, 1, ... on validation, and on test (the same where not given)."""
    return OperatingPoint(compression, dict(enumerate(validation)), dict(enumerate(test or validation)), {})


@pytest.mark.parametrize(
    ("points", "allowed", "compression"),
    [
        ([at(2, 0.0), at(4, 0.005), at(8, 0.02)], 0.01, 4),
        ([at(2, 0.0), at(4, 0.01), at(8, 0.02)], 0.01, 4),  # exactly the allowed drop does not exceed it
        ([at(2, 0.02), at(4, 0.0)], 0.01, None),  # the first exceeds it: none, whatever comes
        ([at(2, 0.0), at(4, 0.02), at(8, 0.0), at(16, 0.0)], 0.01, 2),  # not monotone: what comes back is not looked at
        ([at(2, 0.0), at(4, 0.009), at(8, 0.001), at(16, 0.05)], 0.01, 8),  # not monotone, but never too far down
        ([at(8, 0.02), at(2, 0.0), at(4, 0.005)], 0.01, 4),  # the order is that of compression
        ([at(2, -0.01), at(4, -0.02)], 0.01, 4),  # all within it: the last
        ([at(2, 0.0, 0.0), at(4, 0.0, 0.03), at(8, 0.0, 0.0)], 0.01, 2),  # the mean over seeds, not the best seed
        ([at(2, 0.0, 0.0), at(4, 0.0, 0.018)], 0.01, 4),  # the mean over seeds, not the worst seed
        ([at(2, 0.0), at(math.inf, 0.0)], 0.01, 2),  # of a network with nothing left there is no compression
        ([], 0.01, None),
    ],
)
def test_it_is_the_last_point_before_the_mean_drop_first_exceeds_the_allowed_one(
    points: list[OperatingPoint], allowed: float, compression: float | None
) -> None:
    found = smallest(points, allowed)
    assert (found and found.compression) == compression


@pytest.mark.parametrize(
    ("points", "at_end"),
    [
        ([at(2, 0.0), at(4, 0.005)], True),
        ([at(2, 0.0), at(4, 0.02)], False),
        ([at(2, 0.0), at(math.inf, 0.9)], False),  # with nothing left it lost
        ([at(2, 0.02)], False),
        ([], False),
    ],
)
def test_the_end_of_the_points_is_no_end_of_the_method(points: list[OperatingPoint], at_end: bool) -> None:
    assert is_at_end(points, smallest(points, 0.01)) == at_end


def test_rounding_is_no_drop() -> None:
    assert smallest([at(2, 0.99 - 0.985)], 0.005) is not None


def test_test_accuracy_chooses_nothing() -> None:
    points = [at(2, 0.0, test=[0.5]), at(4, 0.0, test=[0.9]), at(8, 0.5, test=[-0.1])]
    assert smallest(points, 0.01) is points[1]


@pytest.mark.parametrize(
    ("drops", "allowed", "expected"),
    [
        ([0.001, 0.001, 0.001], 0.005, "below"),
        ([0.005, 0.005, 0.005], 0.005, "below"),  # the upper bound is the allowed drop
        ([0.009, 0.010, 0.011], 0.005, "above"),  # 0.010 ± 0.0025
        ([0.001, 0.004, 0.006], 0.005, "open"),
        ([0.001], 0.005, "open"),  # one seed shows nothing
        ([0.5], 0.005, "open"),
    ],
)
def test_the_verdict_says_what_the_interval_shows(drops: list[float], allowed: float, expected: str) -> None:
    assert verdict(drop_on_test(at(2, *drops)), allowed) == expected


def found(runs: list[RunRecord]) -> tuple[dict[float, OperatingPoint], list[tuple[str, int]]]:
    """The operating points of the one method by compression, and what only some seeds have."""
    dense = [run_record("dense", s, [point(0, 1, DENSE)]) for s in range(3)]
    [setting] = settings_of([*runs, *dense])
    [method] = setting.methods.values()
    return {round(p.compression, 6): p for p in operating_points(setting, method)}, incomplete(setting, method)


def test_an_operating_point_is_a_round_or_a_target_and_the_same_for_all_seeds() -> None:
    rounds = [run_record("magnitude", s, [point(1, 2, 0.98), point(2, 4 + s, 0.97)]) for s in range(3)]
    points, _ = found(rounds)
    assert list(points) == [2, round((4 * 5 * 6) ** (1 / 3), 6)]
    targets = [
        run_record("snip", s, [point(1, c, 0.98 - 0.01 * s)], {"pruner.sparsity": 1 - 1 / c})
        for s in range(3)
        for c in (2, 4)
    ]
    points, _ = found(targets)
    assert list(points) == [2, 4]
    assert points[2].test_drops == {s: pytest.approx(0.01 + 0.01 * s) for s in range(3)}


def test_a_failed_seed_counts_with_the_accuracy_of_chance() -> None:
    runs = [run_record("snip", s, [point(1, 2, 0.98)], {"pruner.sparsity": 0.5}) for s in range(2)]
    failed = run_record("snip", 2, [], {"pruner.sparsity": 0.5}, state="diverged")
    points, _ = found([*runs, failed])
    assert points[2].validation_drops == {0: pytest.approx(0.01), 1: pytest.approx(0.01), 2: pytest.approx(DENSE - 0.1)}
    assert smallest(points.values(), 0.02) is None
    assert sorted(points[2].measured) == [0, 1]


def test_what_a_run_measured_before_it_failed_counts_and_later_rounds_are_chance() -> None:
    runs = [run_record("magnitude", s, [point(1, 2, 0.98), point(2, 4, 0.98)]) for s in range(2)]
    failed = run_record("magnitude", 2, [point(1, 2, 0.97)], state="failed")
    points, _ = found([*runs, failed])
    assert points[2].validation_drops[2] == pytest.approx(0.02)
    assert points[4].validation_drops[2] == pytest.approx(DENSE - 0.1)


def test_a_collapsed_seed_counts_with_its_accuracy() -> None:
    runs = [run_record("snip", s, [point(1, 2, 0.98)]) for s in range(2)]
    runs.append(run_record("snip", 2, [point(1, 2, 0.1, collapsed=True)]))
    points, _ = found(runs)
    assert points[2].validation_drops[2] == pytest.approx(DENSE - 0.1)


def test_a_target_at_which_all_seeds_failed_ends_the_walk() -> None:
    runs = [
        run_record("snip", s, [point(1, c, 0.989)] if c != 4 else [], {"pruner.sparsity": 1 - 1 / c},
                   state="done" if c != 4 else "failed")
        for s in range(3) for c in (2, 4, 8)
    ]  # fmt: skip
    points, _ = found(runs)
    assert list(points) == [2, 4, 8]
    chosen = smallest(points.values(), 0.01)
    assert chosen is not None
    assert chosen.compression == 2


def test_a_point_that_a_seed_lacks_is_no_operating_point_and_is_named() -> None:
    runs = [run_record("magnitude", s, [point(r, 2.0**r, 0.98) for r in range(1, 4 - (s == 2))]) for s in range(3)]
    points, lacking = found(runs)
    assert list(points) == [2, 4]
    assert lacking == [("null", 3)]
    runs[2] = run_record("magnitude", 2, [point(1, 2, 0.98)], state="interrupted")  # nobody knows how it ends
    points, lacking = found(runs)
    assert list(points) == [2, 4, 8]
    assert sorted(points[2].test_drops) == [0, 1]


# A finer grid of points


def true_drop(compression: float) -> float:
    """What an endless test set would say: nothing is lost up to 32 times, two points beyond."""
    return 0.0 if compression <= 32 else 0.02


def measured(grid: Sequence[float], generator: random.Random) -> list[OperatingPoint]:
    """Three seeds along a grid, with the noise of some 400 validation and test images."""
    points = []
    for compression in grid:
        drops = [[true_drop(compression) + generator.gauss(0, 0.005) for _ in range(3)] for _ in ("validation", "test")]
        points.append(at(compression, *drops[0], test=drops[1]))
    return points


def best_reading(points: Sequence[OperatingPoint], allowed: float) -> dict[int, OperatingPoint]:
    """The old rule: of each seed the most compressed point with a small enough drop of test accuracy."""
    return {
        seed: max(within, key=lambda p: p.compression)
        for seed in range(3)
        if (within := [p for p in points if p.test_drops[seed] <= allowed])
    }


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def test_a_finer_grid_helps_by_the_best_test_reading_and_not_by_the_rule() -> None:
    """Two methods of equal quality, one measured at every doubling up to 1,024 times, one at every eighth of one.

    With a point of drop allowed, 32 times is what both can do, and both have been measured there.
    """
    generator = random.Random(0)
    grids: Mapping[str, list[float]] = {
        "coarse": [2.0**i for i in range(1, 11)],
        "fine": [2 ** (i / 8) for i in range(8, 81)],
    }
    old: dict[str, float] = {}
    new: dict[str, float] = {}
    flattered: list[float] = []
    reported: list[float] = []
    for name, grid in grids.items():
        by_old, by_new = [], []
        for _ in range(800):
            points = measured(grid, generator)
            best = best_reading(points, 0.01)
            by_old.append(mean([math.log2(p.compression) for p in best.values()]))
            flattered += [p.test_drops[seed] - true_drop(p.compression) for seed, p in best.items()]
            chosen = smallest(points, 0.01)
            assert chosen is not None
            by_new.append(math.log2(chosen.compression))
            reported += [drop - true_drop(chosen.compression) for drop in chosen.test_drops.values()]
        old[name], new[name] = mean(by_old), mean(by_new)
    assert old["fine"] - old["coarse"] > 1  # the finer grid looks twice as good, by luck alone
    assert abs(new["fine"] - new["coarse"]) < 0.05
    assert new["fine"] == pytest.approx(5, abs=0.05)
    assert mean(flattered) < -0.003  # what the old rule reports are lucky readings
    assert estimate(reported).low < 0 < estimate(reported).high
