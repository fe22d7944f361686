"""Times that can be compared: interleaved, as medians with their quartiles.

Beside each ratio of times on the wall stands that of processor times, which other users of the machine move less.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Work = Callable[[], object]
BARE = "of a bare loop's speed"
TICK = 1e-9  # s: nothing takes less


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


def seconds(work: Work) -> tuple[float, float]:
    """How long `work` takes, on the wall and of processors, those of its processes too."""
    started, used = time.perf_counter(), _used()
    work()
    return time.perf_counter() - started, _used() - used


def compare(what: str, base: Work, suite: Work, repeats: int, unit: str = BARE) -> Figure:
    """How fast `suite` is, as a share of the speed of `base`: the median ratio of interleaved repeats."""
    pairs = _pairs(base, suite, repeats)
    wall, used = ([b[clock] / max(s[clock], TICK) for b, s in pairs] for clock in (0, 1))
    note = f"{_middle(b for b, _ in pairs):.3g} s and {_middle(s for _, s in pairs):.3g} s"
    return spread(what, wall, unit, f"{note}; {statistics.median(used):.3g} of processor time")


def cost(what: str, work: Work, measure: Work, repeats: int, unit: str) -> Figure:
    """How long `work` takes, as a multiple of `measure`."""
    pairs = _pairs(measure, work, repeats)
    wall, used = ([w[clock] / max(m[clock], TICK) for m, w in pairs] for clock in (0, 1))
    note = f"{_middle(w for _, w in pairs):.3g} s; {statistics.median(used):.3g} of processor time"
    return spread(what, wall, unit, note)


def timed(what: str, work: Work, repeats: int) -> Figure:
    """How long `work` takes, in seconds."""
    times = [seconds(work) for _ in range(repeats)]
    return spread(
        what, [wall for wall, _ in times], "s", f"{statistics.median(u for _, u in times):.3g} s of processors"
    )


def spread(what: str, values: list[float], unit: str, note: str = "") -> Figure:
    """The median of `values` and their quartiles."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return Figure(what, middle, low, high, unit, note)


def _pairs(first: Work, second: Work, repeats: int) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    for work in (first, second):  # what is done once: imports, caches
        work()
    return [(seconds(first), seconds(second)) for _ in range(repeats)]


def _used() -> float:
    """Seconds of processors so far: of this process, exactly, and of those that it waited for."""
    return time.process_time() + sum(os.times()[2:4])


def _middle(times: Iterable[tuple[float, float]]) -> float:
    return statistics.median(wall for wall, _ in times)
