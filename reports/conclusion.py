"""What a setting says, a row and a sentence for each method: how small, how sure, at what cost, and tied with whom."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmark.records import DROPS
from reports.curves import Method, Setting, curve
from reports.selection import OperatingPoint, operating_points, smallest
from reports.statistics import LEVEL, difference, holm
from reports.table import NOTHING, Table
from reports.tables import top1_at

Numbers = dict[Any, Any]  # a row of the table of smallest networks
Reached = dict[str, dict[float, dict[int, float]]]  # by method, compression and seed: accuracy on test

SIZE = "compression_params"
SPARK = (100.0, 24.0)  # width and height of a curve beside a row
SHOWN_BELOW_DENSE = 0.06  # of accuracy, in that curve
SAID = {
    "below": "shown to be at most {}",
    "above": "shown to be more than {}",
    "open": "the data leave open whether it is at most {}",
}


@dataclass(frozen=True)
class Mini:
    """The test drop and its interval as places on a line 100 wide."""

    low: float
    mean: float
    high: float
    zero: float
    allowed: float


@dataclass(frozen=True)
class Row:
    """A method at an allowed drop, for the ranking and as a sentence; numbers to sort by and texts to read."""

    method: str
    allowed: str  # points
    sentence: str
    compression: float
    compression_text: str
    compression_width: float  # of its bar, in %
    structural: float
    structural_text: str
    drop: float | str
    drop_text: str
    mini: Mini | None
    verdict: str
    budget: float | str
    budget_text: str
    budget_width: float
    seeds: int
    spark: str
    dense_y: float


def points_of_accuracy(allowed: float) -> str:
    return f"{100 * allowed:g}"


def conclusions(setting: Setting, table: Table) -> list[Row]:
    """The rows of `smallest_networks` at each allowed drop, the smallest network first."""
    found = table.numbers.to_dict("records")
    largest = max((n[f"{SIZE}_mean"] for n in found if _is(n[f"{SIZE}_mean"])), default=1.0)
    most = max((n["budget_mean"] for n in found if _is(n["budget_mean"])), default=1.0)
    sizes = sorted({n[f"{SIZE}_mean"] for n in found if _is(n[f"{SIZE}_mean"])})
    reached = {label: top1_at(setting, method, SIZE, sizes) for label, method in setting.methods.items()}
    sparks = {label: _spark(setting, method) for label, method in setting.methods.items()}
    points = {label: operating_points(setting, method) for label, method in setting.methods.items()}
    rows = []
    for allowed in DROPS:
        mine = [n for n in found if n["allowed_drop"] == allowed]
        mine.sort(key=lambda n: (-_or(n[f"{SIZE}_mean"], 0), _or(n["budget_mean"], math.inf), n["method"]))
        span = _span(mine, allowed)
        for n in mine:
            label = n["method"]
            sentence = _sentence(setting, smallest(points[label], allowed), n, reached)
            rows.append(Row(sentence=sentence, **sparks[label], **_cells(n, span, largest, most)))
    return rows


def _cells(n: Numbers, span: tuple[float, float], largest: float, most: float) -> dict[str, Any]:
    """The cells of a row."""
    compression, budget, drop = (_or(n[f"{name}_mean"], math.nan) for name in (SIZE, "budget", "drop"))
    structural = _or(n["speedup_structural_mean"], math.nan)
    share = math.log(compression) / math.log(max(largest, 1.01)) if _is(compression) else 0
    return {
        "method": n["method"],
        "allowed": points_of_accuracy(n["allowed_drop"]),
        "compression": round(_or(compression, 0), 4),
        "compression_text": f"{'≥ ' if n['at_end'] else ''}{compression:.1f}×" if _is(compression) else NOTHING,
        "compression_width": round(100 * share, 1),
        "structural": round(_or(structural, 0), 4),
        "structural_text": f"{structural:.2f}×" if _is(structural) else NOTHING,
        "drop": round(100 * drop, 4) if _is(drop) else "",
        "drop_text": _drop(n),
        "mini": _mini(n, span),
        "verdict": n["verdict"],
        "budget": round(budget, 4) if _is(budget) else "",
        "budget_text": f"{budget:.1f}" if _is(budget) else NOTHING,
        "budget_width": round(100 * budget / most, 1) if _is(budget) else 0,
        "seeds": n["seeds"],
    }


def _sentence(setting: Setting, chosen: OperatingPoint | None, n: Numbers, reached: Reached) -> str:
    points = f"{points_of_accuracy(n['allowed_drop'])} point{'' if n['allowed_drop'] == 0.01 else 's'}"
    seeds = f"{n['seeds']} seed{'' if n['seeds'] == 1 else 's'}"
    if n["seeds_compared"] == 0:
        return "no dense network of its seeds to compare with."
    if chosen is None or not _is(n[f"{SIZE}_mean"]):
        return f"no operating point within {points} of dense on validation, so it counts as 1× ({seeds})."
    said = [
        f"{'at least ' if n['at_end'] else ''}{n[f'{SIZE}_mean']:.1f}× smaller within {points} of dense on validation",
        f"test drop {_drop(n)} points at {seeds}, {SAID[n['verdict']].format(points)}",
    ]
    if _is(n["budget_mean"]):
        said.append(f"{n['budget_mean']:.1f}× the training of dense")
    if n["seeds_failed"] or n["seeds_collapsed"]:
        said.append(f"of the seeds {n['seeds_failed']} failed and {n['seeds_collapsed']} collapsed there")
    return f"{'; '.join(said)}. {_against(setting, chosen, n, reached)}"


def _against(setting: Setting, chosen: OperatingPoint, n: Numbers, reached: Reached) -> str:
    """Which other methods are better, worse, or not to be told apart on test at this method's compression."""
    ours = {seed: point.top1 for seed, point in chosen.measured.items()}
    others = {
        label: found for label in reached if label != n["method"] and (found := reached[label][n[f"{SIZE}_mean"]])
    }
    if not others:
        return "No other method reaches that size."
    differences = {label: difference(ours, theirs, setting.resolution) for label, theirs in others.items()}
    corrected = dict(zip(differences, holm([d.p for d in differences.values()]), strict=True))
    shown = {label for label, p in corrected.items() if p < LEVEL}
    groups = {
        "not separable from": [label for label in others if label not in shown],
        "shown to be better than": [label for label in others if label in shown and differences[label].over.mean > 0],
        "shown to be worse than": [label for label in others if label in shown and differences[label].over.mean <= 0],
    }
    said = "; ".join(f"{what} {', '.join(labels)}" for what, labels in groups.items() if labels)
    return f"At that size {said}."


def _drop(n: Numbers) -> str:
    if not _is(n["drop_mean"]):
        return NOTHING
    mean, low, high = (f"{100 * n[f'drop_{part}']:z.1f}" for part in ("mean", "low", "high"))
    return mean if n["drop_n"] < 2 or mean == low == high else f"{mean} [{low}, {high}]"


def _span(rows: Iterable[Numbers], allowed: float) -> tuple[float, float]:
    """The ends of the line that intervals are drawn on, with room for zero and the allowed drop."""
    ends = [v for n in rows for part in ("low", "mean", "high") if _is(v := n[f"drop_{part}"])]
    return max(min([*ends, -0.002]), -0.03), min(max([*ends, 1.2 * allowed]), 0.06)


def _mini(n: Numbers, span: tuple[float, float]) -> Mini | None:
    if not _is(n["drop_mean"]):
        return None

    def place(value: float) -> float:
        return round(100 * min(max((value - span[0]) / (span[1] - span[0]), 0), 1), 1)

    mean = n["drop_mean"]
    return Mini(
        place(_or(n["drop_low"], mean)),
        place(mean),
        place(_or(n["drop_high"], mean)),
        place(0),
        place(n["allowed_drop"]),
    )


def _spark(setting: Setting, method: Method) -> dict[str, Any]:
    """The mean over seeds of test accuracy against compression, as the points of a line, and how high dense is."""
    width, height = SPARK
    dense = [point.top1 for point in setting.dense.values()]
    top = sum(dense) / len(dense) if dense else 1.0
    widest = max(
        (p.compression_params or 1 for m in setting.methods.values() for s in m.seeds for p in m.of_seed(s)), default=1
    )

    def y(value: float) -> float:
        return round(height * min(max((top + 0.01 - value) / (SHOWN_BELOW_DENSE + 0.01), 0), 1), 1)

    ratios = sorted({x for seed in method.seeds for x, _ in curve(setting, method, seed, SIZE)})
    chosen = [*ratios[:-1][:: 1 + len(ratios) // 60], *ratios[-1:]]
    places = []
    for ratio, found in top1_at(setting, method, SIZE, chosen).items():
        if len(found) == len(method.seeds):
            x = width * math.log(max(ratio, 1)) / math.log(max(widest, 1.01))
            places.append(f"{x:.1f},{y(sum(found.values()) / len(found))}")
    return {"spark": " ".join(places) if len(places) > 1 else "", "dense_y": y(top)}


def _is(value: Any) -> bool:
    return value is not None and math.isfinite(value)


def _or(value: Any, otherwise: float) -> float:
    return float(value) if _is(value) else otherwise
