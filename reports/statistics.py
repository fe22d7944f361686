"""Means over seeds with their intervals; differences paired by seed; ranks; accuracy between measured points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from scipy.special import stdtr, stdtrit

LEVEL = 0.05  # below it a difference counts as shown
ROUNDING = 1e-9  # of sums and logarithms, relative


@dataclass(frozen=True)
class Estimate:
    """Mean, sample standard deviation and the 95 % t-interval over n seeds; NaN where n is too small."""

    mean: float
    std: float
    n: int
    low: float
    high: float


def estimate(values: Sequence[float], lowest: float = -math.inf, highest: float = math.inf) -> Estimate:
    """The estimate from one value per seed; no value can lie outside of [`lowest`, `highest`], so no interval does."""
    n = len(values)
    mean = sum(values) / n if n else math.nan
    if n < 2:
        return Estimate(mean, math.nan, n, math.nan, math.nan)
    std = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    half = _quantile(n - 1) * std / math.sqrt(n)
    return Estimate(mean, std, n, max(mean - half, lowest), min(mean + half, highest))


@cache
def _quantile(freedom: int) -> float:
    """Of Student's t, two-sided for 95 %."""
    return float(stdtrit(freedom, 0.975))


def ratio_estimate(values: Sequence[float], lowest: float = 1.0) -> Estimate:
    """The estimate of a ratio, made of its logarithms: the mean is the geometric one, the interval not symmetric.

    No ratio can lie below `lowest`, nor does the interval. `std` is that of the ratios themselves.
    """
    logs = estimate([math.log(v) for v in values], math.log(lowest) if lowest else -math.inf)
    return Estimate(math.exp(logs.mean), estimate(values).std, logs.n, math.exp(logs.low), math.exp(logs.high))


def interpolate(curve: Sequence[tuple[float, float]], x: float) -> float | None:
    """The value at `x` on a curve of (x, y) points, linear in log x; None outside of it, never beyond.

    An `x` that is an end but for rounding, as a geometric mean of equal values may be, is that end.
    """
    points = sorted(curve)
    for end, value in (*points[:1], *points[-1:]):
        if math.isclose(x, end, rel_tol=ROUNDING):
            return value
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= x <= x1:
            share = 0.0 if x1 == x0 else math.log(x / x0) / math.log(x1 / x0)
            return y0 + share * (y1 - y0)
    return None


@dataclass(frozen=True)
class Difference:
    """What one has more than another, over the seeds that both have; `p` is of the paired t-test.

    `p` is NaN where there is nothing to test: a single seed, or no spread and no more than the resolution of the values
    between them.
    """

    over: Estimate
    p: float


def difference(ours: Mapping[int, float], theirs: Mapping[int, float], resolution: float = 0.0) -> Difference:
    """The difference of two methods' values by seed, which lie in [0, 1] and are known to `resolution`.

    A spread below the resolution counts as one of that size: equal differences by chance prove little, large ones do.
    """
    over = estimate([ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())], -1, 1)
    spread = max(over.std, resolution)
    if over.n < 2 or spread <= ROUNDING or (over.std <= resolution and abs(over.mean) <= resolution):
        return Difference(over, math.nan)
    return Difference(over, 2 * float(stdtr(over.n - 1, -abs(over.mean) * math.sqrt(over.n) / spread)))


def holm(p: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, by Holm's method; NaN is no test and stays."""
    order = sorted((i for i, value in enumerate(p) if not math.isnan(value)), key=lambda i: p[i])
    adjusted, highest = list(p), 0.0
    for rank, i in enumerate(order):
        highest = adjusted[i] = max(highest, min(1.0, p[i] * (len(order) - rank)))
    return adjusted


def tied_with_best(values: Mapping[str, Mapping[int, float]], resolution: float = 0.0) -> set[str]:
    """The name with the highest mean over seeds, and those that are not shown to be lower, p corrected by Holm."""
    means = {name: sum(each.values()) / len(each) for name, each in values.items() if each}
    if not means:
        return set()
    best = max(means, key=lambda name: means[name])
    others = [name for name in means if name != best]
    found = [difference(values[best], values[name], resolution) for name in others]
    corrected = holm([each.p for each in found])
    lower = {n for n, each, p in zip(others, found, corrected, strict=True) if p < LEVEL and each.over.mean > 0}
    return {best, *others} - lower


@dataclass(frozen=True)
class Ranking:
    """Average ranks over blocks, 1 the best, equal values sharing theirs; NaN where there is too little for a test.

    Two names differ, at 5 %, where their ranks do by more than `critical_difference` (Friedman, then Nemenyi).
    """

    ranks: dict[str, float]
    blocks: int
    p: float  # of Friedman's test that all are alike
    critical_difference: float


def ranking(values: Mapping[str, Sequence[float]]) -> Ranking:
    """The ranking of names by their values in each of the same blocks; higher is better."""
    from scipy.stats import friedmanchisquare, rankdata, studentized_range  # slow to import, and only for this

    table = np.array(list(values.values()), dtype=float)  # (names, blocks)
    names, blocks = table.shape
    ranks = np.mean([rankdata(-table[:, block]) for block in range(blocks)], axis=0)
    p = critical = math.nan
    if names >= 3 and blocks >= 2:
        if (table != table[0]).any():
            p = float(friedmanchisquare(*table).pvalue)
        quantile = float(studentized_range.ppf(1 - LEVEL, names, np.inf)) / math.sqrt(2)
        critical = quantile * math.sqrt(names * (names + 1) / (6 * blocks))
    return Ranking(dict(zip(values, map(float, ranks), strict=True)), blocks, p, critical)
