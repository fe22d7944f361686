"""Means, intervals and interpolation worked out by hand."""

from __future__ import annotations

import math

import pytest

from reports.statistics import estimate, interpolate, paired_difference


def test_an_estimate_over_three_seeds_has_the_t_interval() -> None:
    # mean 2, sample std 1; t(0.975, 2) = 4.30265, half width 4.30265 / sqrt(3) = 2.48414
    found = estimate([1.0, 2.0, 3.0])
    assert (found.mean, found.std, found.n) == (2, 1, 3)
    assert found.half_width == pytest.approx(2.48414, abs=1e-5)


def test_one_seed_has_no_spread() -> None:
    found = estimate([0.5])
    assert found.mean == 0.5
    assert math.isnan(found.std)
    assert math.isnan(found.half_width)


def test_differences_are_paired_by_seed() -> None:
    found = paired_difference({0: 0.9, 1: 0.8, 2: 0.7}, {0: 0.8, 1: 0.7, 5: 0.1})
    assert (found.n, found.mean) == (2, pytest.approx(0.1))
    assert found.std == pytest.approx(0, abs=1e-9)


def test_interpolation_is_linear_in_log_compression_and_never_extrapolates() -> None:
    curve = [(16.0, 0.8), (1.0, 1.0)]
    assert interpolate(curve, 4) == pytest.approx(0.9)
    assert interpolate(curve, 1) == 1
    assert interpolate(curve, 16) == pytest.approx(0.8)
    assert interpolate(curve, 17) is None
    assert interpolate(curve, 0.5) is None
