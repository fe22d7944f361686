"""Times that can be compared: interleaved, in one process, as medians with their quartiles."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

Work = Callable[[], object]
BARE = "of a bare loop's speed"


@dataclass(frozen=True)
class Figure:
    """A measurement: the median over repeats, its quartiles, what of, and the times behind it."""

    what: str
    value: float
    low: float
    high: float
    unit: str
    note: str = ""

    def __str__(self) -> str:
        note = f"  ({self.note})" if self.note else ""
        return f"{self.what:56}{self.value:10.3g}  [{self.low:.3g}, {self.high:.3g}] {self.unit}{note}"


def seconds(work: Work) -> float:
    """How long `work` takes, on the wall."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(what: str, base: Work, suite: Work, repeats: int, unit: str = BARE) -> Figure:
    """How fast `suite` is, as a share of the speed of `base`: the median ratio of interleaved repeats."""
    pairs = _pairs(base, suite, repeats)
    note = f"{statistics.median(b for b, _ in pairs):.3g} s and {statistics.median(s for _, s in pairs):.3g} s"
    return spread(what, [b / s for b, s in pairs], unit, note)


def cost(what: str, work: Work, measure: Work, repeats: int, unit: str) -> Figure:
    """How long `work` takes, as a multiple of `measure`."""
    pairs = _pairs(measure, work, repeats)
    return spread(what, [w / m for m, w in pairs], unit, f"{statistics.median(w for _, w in pairs):.3g} s")


def timed(what: str, work: Work, repeats: int) -> Figure:
    """How long `work` takes, in seconds."""
    return spread(what, [seconds(work) for _ in range(repeats)], "s")


def spread(what: str, values: list[float], unit: str, note: str = "") -> Figure:
    """The median of `values` and their quartiles."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return Figure(what, middle, low, high, unit, note)


def _pairs(first: Work, second: Work, repeats: int) -> list[tuple[float, float]]:
    for work in (first, second):  # what is done once: imports, caches
        work()
    return [(seconds(first), seconds(second)) for _ in range(repeats)]
