"""Means, intervals and interpolation worked out by hand."""

from __future__ import annotations

import math
import warnings
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from reports.statistics import difference, estimate, holm, interpolate, ranking, ratio_estimate, tied_with_best

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # their own deprecations
    from scikit_posthocs import posthoc_nemenyi_friedman
    from statsmodels.stats.multitest import multipletests


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


def test_a_difference_is_paired_by_seed_as_scipy_pairs_it() -> None:
    ours, theirs = {0: 0.91, 1: 0.95, 2: 0.90, 7: 0.1}, {2: 0.88, 1: 0.90, 0: 0.90, 9: 0.9}
    found = difference(ours, theirs)
    expected = stats.ttest_rel([0.91, 0.95, 0.90], [0.90, 0.90, 0.88])
    low, high = expected.confidence_interval(0.95)
    assert found.over.n == 3
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.over.low, found.over.high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize(
    ("ours", "theirs", "resolution"),
    [
        ({0: 0.9}, {0: 0.8}, 0.0),  # one seed
        ({0: 0.9}, {1: 0.8}, 0.0),  # none in common
        ({0: 0.9, 1: 0.8}, {0: 0.8, 1: 0.7}, 0.0),  # the same at each
        ({0: 0.9, 1: 0.8, 2: 0.7}, {0: 0.8, 1: 0.7, 2: 0.5999}, 0.2),  # the same to the resolution of the test set
    ],
)
def test_without_a_spread_nothing_is_tested(
    ours: dict[int, float], theirs: dict[int, float], resolution: float
) -> None:
    assert math.isnan(difference(ours, theirs, resolution).p)


def test_corrected_p_values_are_those_of_statsmodels() -> None:
    generator = np.random.default_rng(0)
    for n in (1, 2, 7, 30):
        p = list(generator.uniform(0, 0.2, n) ** 2)
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert holm([0.02, math.nan, 0.01])[:3:2] == [0.02, 0.02]  # what is no test does not count
    assert math.isnan(holm([0.02, math.nan, 0.01])[1])
    assert holm([]) == []


def test_tied_with_the_best_is_what_is_not_shown_to_be_lower() -> None:
    values = {
        "best": {0: 0.90, 1: 0.91, 2: 0.92},
        "near": {0: 0.89, 1: 0.92, 2: 0.90},
        "low": {0: 0.50, 1: 0.52, 2: 0.51},
        "none": {},
    }
    assert tied_with_best(values) == {"best", "near"}
    assert tied_with_best({"a": {}}) == set()


def test_average_ranks_share_ties_and_agree_with_scipy() -> None:
    values = {"a": [3.0, 2.0, 2.0], "b": [2.0, 2.0, 1.0], "c": [1.0, 1.0, 2.0]}
    found = ranking(values)
    # a: 1, 1.5, 1.5; b: 2, 1.5, 3; c: 3, 3, 1.5
    assert found.ranks == {"a": pytest.approx(4 / 3), "b": pytest.approx(6.5 / 3), "c": pytest.approx(2.5)}
    assert found.p == pytest.approx(stats.friedmanchisquare(*values.values()).pvalue)


def test_ranks_further_apart_than_the_critical_difference_are_those_that_scikit_posthocs_tells_apart() -> None:
    generator = np.random.default_rng(1)
    for methods, blocks in ((3, 5), (6, 12), (10, 30)):
        table = generator.normal(np.linspace(0, 2, methods), 1.0, (blocks, methods)).round(1)  # ties among them
        found = ranking({str(m): table[:, m].tolist() for m in range(methods)})
        p = posthoc_nemenyi_friedman(table).to_numpy()
        for a, b in combinations(range(methods), 2):
            apart = abs(found.ranks[str(a)] - found.ranks[str(b)])
            if abs(p[a, b] - 0.05) > 0.002:  # its table of the studentised range is rounded
                assert (apart > found.critical_difference) == (p[a, b] < 0.05)


def test_too_little_has_ranks_and_no_test() -> None:
    for values in ({"a": [1.0, 2.0], "b": [2.0, 1.0]}, {"a": [1.0], "b": [2.0], "c": [3.0]}):
        found = ranking(values)
        assert math.isnan(found.p)
        assert math.isnan(found.critical_difference)
    same = ranking({name: [1.0, 1.0] for name in "abc"})
    assert set(same.ranks.values()) == {2}
    assert math.isnan(same.p)


def test_a_geometric_mean_of_equal_ends_is_that_end() -> None:
    end = 58.35193696651346
    mean = math.exp(sum(map(math.log, [end] * 3)) / 3)
    assert mean != end
    assert interpolate([(1, 0.9), (end, 0.5)], mean) == 0.5
    assert interpolate([(1, 0.9), (end, 0.5)], end * 1.001) is None


def test_a_large_difference_that_is_equal_at_every_seed_is_shown_and_one_image_is_not() -> None:
    best = {0: 0.9, 1: 0.9, 2: 0.9}
    assert tied_with_best({"a": best, "b": {0: 0.1, 1: 0.1, 2: 0.1}}, 1 / 360) == {"a"}
    near = dict.fromkeys(best, 0.9 - 1 / 360)
    assert tied_with_best({"a": best, "b": near}, 1 / 360) == {"a", "b"}


def test_one_seed_shows_nothing_and_a_higher_value_is_not_lower() -> None:
    assert tied_with_best({"a": {0: 0.9}, "b": {0: 0.1}}) == {"a", "b"}
    found = tied_with_best({"a": {0: 0.9, 1: 0.7, 2: 0.9}, "b": {1: 0.75}})
    assert found == {"a", "b"}
