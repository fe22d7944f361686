"""What several figures draw: a method's operating points as means over seeds, and values at equal compression."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmark.records import EQUAL, METRICS
from reports.curves import Method, Setting
from reports.schema import Point
from reports.statistics import Estimate, estimate, interpolate, ratio_estimate

COMPRESSION = "compression_params"
ALIKE = 1.1  # axes whose places differ by less than this factor everywhere show one thing


@dataclass(frozen=True)
class Mean:
    """An operating point that all seeds have."""

    x: float  # geometric mean
    y: Estimate


def means(setting: Setting, method: Method, x: str, y: str = "top1") -> list[Mean]:
    """The operating points with a place on the axis `x`, sorted, from the dense network on."""
    references = [setting.dense[seed] for seed in method.seeds if seed in setting.dense]
    groups = [[*by_seed.values()] for by_seed in method.points.values()]
    if len(references) == len(method.seeds):
        groups.append(references)
    found = []
    for points in groups:
        places = [place for point in points if (place := point.value(x)) is not None]
        if len(places) == len(method.seeds):
            found.append(Mean(ratio_estimate(places).mean, estimate([p.value(y) for p in points], 0, 1)))
    return sorted(found, key=lambda mean: mean.x)


def at(setting: Setting, method: Method, seed: int, value: Callable[[Point], float], ratio: float) -> float | None:
    """What a seed's points have at a compression, interpolated between two of them; None outside of them."""
    points = [*([setting.dense[seed]] if seed in setting.dense else []), *method.of_seed(seed)]
    return interpolate([(p.compression_params, value(p)) for p in points if p.compression_params], ratio)


def all_at(setting: Setting, method: Method, value: Callable[[Point], float], ratio: float) -> list[float]:
    """The same of every seed; empty where one does not reach the compression."""
    found = [at(setting, method, seed, value, ratio) for seed in method.seeds]
    return [v for v in found if v is not None] if None not in found else []


def logarithm(name: str) -> Callable[[Point], float]:
    """The logarithm of a ratio, to interpolate it; a ratio to nothing is infinite."""
    return lambda point: math.log(point.value(name)) if point.value(name) else math.inf


def points_of(method: Method, x: str = COMPRESSION) -> list[Point]:
    """The points with a place on the axis, in the order of seeds."""
    points = [point for seed in method.seeds for point in method.of_seed(seed)]
    return [point for point in points if point.value(x) is not None]


def alike(setting: Setting, x: str, other: str) -> bool:
    """Whether all points have nearly the same place on two axes."""
    places = ((p.value(x), p.value(other)) for method in setting.methods.values() for p in points_of(method))
    return all(a is not None and b is not None and 1 / ALIKE < a / b < ALIKE for a, b in places)


def nearest(method: Method, ratio: float = EQUAL, fits: Callable[[Point], object] = lambda point: True) -> list[Point]:
    """Of each seed, the measured point nearest to a compression, among those that `fits`."""
    points = [[p for p in method.of_seed(seed) if p.compression_params and fits(p)] for seed in method.seeds]
    return [min(p, key=lambda q: abs(math.log((q.compression_params or 1) / ratio))) for p in points if p]


def typical(points: Sequence[Point]) -> float:
    """The mean compression of points."""
    return ratio_estimate([point.compression_params or 1 for point in points]).mean


def heading(name: str) -> str:
    """What an axis says of a metric."""
    return METRICS[name].about if name in METRICS else name.replace("_", " ")


def ordered(names: Iterable[Iterable[str]]) -> list[str]:
    """All names, each once, in the order of their first coming."""
    return list(dict.fromkeys(name for some in names for name in some))
