"""Means over seeds with their intervals; accuracy between measured points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from scipy.stats import t


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
    half = float(t.ppf(0.975, n - 1)) * std / math.sqrt(n)
    return Estimate(mean, std, n, max(mean - half, lowest), min(mean + half, highest))


def ratio_estimate(values: Sequence[float], lowest: float = 1.0) -> Estimate:
    """The estimate of a ratio, made of its logarithms: the mean is the geometric one, the interval not symmetric.

    No ratio can lie below `lowest`, nor does the interval. `std` is that of the ratios themselves.
    """
    logs = estimate([math.log(v) for v in values], math.log(lowest) if lowest else -math.inf)
    return Estimate(math.exp(logs.mean), estimate(values).std, logs.n, math.exp(logs.low), math.exp(logs.high))


def interpolate(curve: Sequence[tuple[float, float]], x: float) -> float | None:
    """The value at `x` on a curve of (x, y) points, linear in log x; None outside of it, never beyond."""
    points = sorted(curve)
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= x <= x1:
            share = 0.0 if x1 == x0 else math.log(x / x0) / math.log(x1 / x0)
            return y0 + share * (y1 - y0)
    return points[0][1] if len(points) == 1 and points[0][0] == x else None
