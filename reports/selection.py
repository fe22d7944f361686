"""Which network counts as the smallest at comparable accuracy, chosen on validation, and what the test data say of it.

A method has one operating point for all seeds: a round, or a target. Taken is the last one, in the order of
compression, before the mean drop of validation top1 over all seeds first exceeds the allowed one. So more points along
a curve are no more chances: a lucky reading beyond the first bad one is never looked at.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from reports.curves import Key, Method, Setting
from reports.schema import Point
from reports.statistics import Estimate, estimate

ROUNDING = 1e-12  # 0.99 - 0.985 is a drop of 0.005
Verdict = Literal["below", "above", "open"]


@dataclass(frozen=True)
class OperatingPoint:
    """What a method reached at one round or target: drops of top1 from dense, by seed, and what was measured.

    A seed that failed has drops, to chance, and no measured point.
    """

    compression: float  # geometric mean over the measured points; infinite where one has nothing left
    validation_drops: Mapping[int, float]
    test_drops: Mapping[int, float]
    measured: Mapping[int, Point]

    @property
    def validation_drop(self) -> float:
        """The mean over all seeds."""
        return sum(self.validation_drops.values()) / len(self.validation_drops)


def smallest(points: Iterable[OperatingPoint], allowed: float) -> OperatingPoint | None:
    """The last point, in the order of compression, before the validation drop first exceeds `allowed`."""
    chosen = None
    for point in sorted(points, key=lambda point: point.compression):
        if point.validation_drop > allowed + ROUNDING or math.isinf(point.compression):
            break
        chosen = point
    return chosen


def is_at_end(points: Iterable[OperatingPoint], chosen: OperatingPoint | None) -> bool:
    """Whether nothing smaller was tried, so that the smallest network may be smaller than the chosen one."""
    return chosen is not None and chosen.compression == max(point.compression for point in points)


def drop_on_test(point: OperatingPoint) -> Estimate:
    """The drop of test top1 from dense, paired by seed."""
    return estimate(list(point.test_drops.values()), -1, 1)


def verdict(drop: Estimate, allowed: float) -> Verdict:
    """Whether the data show that the drop is at most `allowed`, that it is more, or neither."""
    if drop.high <= allowed + ROUNDING:
        return "below"
    return "above" if drop.low > allowed + ROUNDING else "open"


def compared_seeds(setting: Setting, method: Method) -> list[int]:
    """The seeds of a method that have a dense network to compare with."""
    return [seed for seed in method.seeds if seed in setting.dense]


def operating_points(setting: Setting, method: Method) -> list[OperatingPoint]:
    """The operating points that every seed has reached or failed at; a failed one has the accuracy of chance."""
    seeds = compared_seeds(setting, method)
    found = [_operating_point(setting, method, key, seeds) for key in _keys(method)]
    return [point for point in found if point is not None]


def incomplete(setting: Setting, method: Method) -> list[Key]:
    """The operating points that only some seeds have, and that therefore cannot be chosen."""
    seeds = compared_seeds(setting, method)
    return [key for key in _keys(method) if seeds and _operating_point(setting, method, key, seeds) is None]


def _keys(method: Method) -> list[Key]:
    """The operating points of any seed, and the targets that no seed reached because all failed."""
    reached = {target for target, _ in method.points}
    lost = {target for targets in method.failed.values() for target in targets} - reached
    return sorted({*method.points, *((target, 1) for target in lost)})


def _operating_point(setting: Setting, method: Method, key: Key, seeds: list[int]) -> OperatingPoint | None:
    measured = {seed: point for seed, point in method.points.get(key, {}).items() if seed in seeds}
    failed = {seed for seed in seeds if seed not in measured and key[0] in method.failed.get(seed, ())}
    if not seeds or len(measured) + len(failed) < len(seeds):
        return None
    chance = 1 / setting.classes if setting.classes else 0.0
    validation, test = {}, {}
    for seed in seeds:
        dense, point = setting.dense[seed], measured.get(seed)
        validation[seed] = dense.val_top1 - (point.val_top1 if point else chance)
        test[seed] = dense.top1 - (point.top1 if point else chance)
    ratios = [point.compression_params or math.inf for point in measured.values()] or [_asked(key[0])]
    compression = math.exp(sum(map(math.log, ratios)) / len(ratios))
    return OperatingPoint(compression, validation, test, measured)


def _asked(target: str) -> float:
    """About the compression that a target sparsity asks for; infinite where the method has none."""
    sparsity = json.loads(target)
    return 1 / (1 - sparsity) if isinstance(sparsity, float) and 0 <= sparsity < 1 else math.inf
