"""Means, intervals and interpolation worked out by hand."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from reports.statistics import estimate, interpolate, ratio_estimate


def test_an_estimate_over_three_seeds_has_the_t_interval() -> None:
    # mean 2, sample std 1; t(0.975, 2) = 4.30265, half width 4.30265 / sqrt(3) = 2.48414
    found = estimate([1.0, 2.0, 3.0])
    assert (found.mean, found.std, found.n) == (2, 1, 3)
    assert (found.low, found.high) == (pytest.approx(-0.48414, abs=1e-5), pytest.approx(4.48414, abs=1e-5))


def test_one_seed_has_no_spread_and_none_no_mean() -> None:
    found = estimate([0.5])
    assert found.mean == 0.5
    assert all(math.isnan(value) for value in (found.std, found.low, found.high))
    assert math.isnan(estimate([]).mean)
    assert math.isnan(ratio_estimate([]).mean)


def test_the_interval_of_an_accuracy_does_not_go_beyond_all_right() -> None:
    found = estimate([0.9, 0.99, 1.0], 0, 1)
    assert found.high == 1
    assert found.low == pytest.approx(estimate([0.9, 0.99, 1.0]).low)


def test_the_interval_of_a_ratio_is_that_of_its_logarithm_and_never_below_one() -> None:
    # logs of 2, 4, 8 in base 2 are 1, 2, 3: interval [-0.48414, 4.48414], so [0.715, 22.38], and 1 is the least
    found = ratio_estimate([2, 4, 8])
    assert found.mean == pytest.approx(4)
    assert found.std == pytest.approx(3.05505, abs=1e-5)
    assert (found.low, found.high) == (1, pytest.approx(2**4.48414, rel=1e-5))
    assert ratio_estimate([2, 4, 8], lowest=0).low == pytest.approx(2**-0.48414, rel=1e-5)


def test_intervals_are_those_of_scipy() -> None:
    values = [0.91, 0.93, 0.90, 0.95, 0.94]
    found = estimate(values)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=found.mean, scale=stats.sem(values))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_interpolation_is_linear_in_log_compression_and_never_extrapolates() -> None:
    curve = [(16.0, 0.8), (1.0, 1.0)]
    assert interpolate(curve, 4) == pytest.approx(0.9)
    assert interpolate(curve, 1) == 1
    assert interpolate(curve, 16) == pytest.approx(0.8)
    assert interpolate(curve, 17) is None
    assert interpolate(curve, 0.5) is None
