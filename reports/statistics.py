"""Means over seeds with their intervals; accuracy between measured points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from scipy.stats import t


@dataclass(frozen=True)
class Estimate:
    """Mean, sample standard deviation and half the 95 % t-interval over n seeds; NaN where n is too small."""

    mean: float
    std: float
    n: int
    half_width: float


def estimate(values: Sequence[float]) -> Estimate:
    """The estimate from one value per seed."""
    n = len(values)
    mean = sum(values) / n if n else math.nan
    if n < 2:
        return Estimate(mean, math.nan, n, math.nan)
    std = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    return Estimate(mean, std, n, float(t.ppf(0.975, n - 1)) * std / math.sqrt(n))


def paired_difference(a: dict[int, float], b: dict[int, float]) -> Estimate:
    """The estimate of a - b, by seed, over the seeds that both have."""
    return estimate([a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())])


def interpolate(curve: Sequence[tuple[float, float]], x: float) -> float | None:
    """The value at `x` on a curve of (x, y) points, linear in log x; None outside of it, never beyond."""
    points = sorted(curve)
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= x <= x1:
            share = 0.0 if x1 == x0 else math.log(x / x0) / math.log(x1 / x0)
            return y0 + share * (y1 - y0)
    return points[0][1] if len(points) == 1 and points[0][0] == x else None
