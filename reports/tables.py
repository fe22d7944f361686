"""The tables: numbers for a CSV, and the same formatted for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.curves import Method, Setting, curve
from reports.schema import Point
from reports.selection import (
    OperatingPoint,
    compared_seeds,
    drop_on_test,
    operating_points,
    smallest,
    verdict,
)
from reports.statistics import Estimate, estimate, interpolate, ratio_estimate

DROPS = (0.005, 0.01, 0.02)
COMPRESSIONS = (2, 4, 8, 16, 32, 64)
RATIOS = ("compression_params", "compression_weights", "speedup_theoretical", "speedup_structural")
SMALLEST = (
    "A method's last operating point, the same for all seeds, before its mean drop of validation top-1 over all seeds "
    "first exceeds d; the dense network where there is none. There the drop of test top-1 from dense, and whether it "
    "is shown to be at most d (below), more (above), or neither (open). Brackets: 95 % t-intervals over seeds, of "
    "ratios in logarithms. A seed that failed counts with the accuracy of chance. Speed-ups are ratios of FLOPs per "
    "example, one multiply-add = 1, counted with fvcore"
)
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # how a text begins that a spreadsheet would run


@dataclass(frozen=True)
class Table:
    """`numbers` has a column for each of mean, std, n and interval; `shown` is for reading."""

    name: str
    title: str
    note: str  # how to read it
    numbers: pd.DataFrame
    shown: pd.DataFrame

    @property
    def csv(self) -> str:
        """The numbers; a text that a spreadsheet would take for a formula begins with an apostrophe."""
        return self.numbers.map(_inert).to_csv(index=False, lineterminator="\n")

    @property
    def markdown(self) -> str:
        rows = self.shown.map(lambda cell: str(cell).replace("|", "\\|"))
        return f"{self.title}\n\n{self.note}.\n\n{rows.to_markdown(index=False, disable_numparse=True)}\n"

    @property
    def html(self) -> str:
        """An HTML table, its texts escaped; empty where there is no row."""
        return self.shown.to_html(index=False, border=0) if len(self.shown) else ""


def smallest_networks(setting: Setting) -> Table:
    """By method and allowed drop: the smallest network at comparable accuracy, chosen on validation."""
    numbers, shown = [], []
    for method in setting.methods.values():
        points = operating_points(setting, method)
        for allowed in DROPS:
            row, cells = _smallest(setting, method, smallest(points, allowed), allowed)
            numbers.append(row)
            shown.append(cells)
    title = "Smallest network at comparable accuracy"
    return Table("smallest_network", title, SMALLEST, pd.DataFrame(numbers), pd.DataFrame(shown))


def _smallest(
    setting: Setting, method: Method, chosen: OperatingPoint | None, allowed: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    seeds = compared_seeds(setting, method)
    failed = len(chosen.test_drops) - len(chosen.measured) if chosen else 0
    collapsed = sum(point.collapsed for point in chosen.measured.values()) if chosen else 0
    head = {"method": method.label, "allowed_drop": allowed, "seeds": len(method.seeds), "seeds_compared": len(seeds)}
    if chosen is None:  # the dense network itself
        ones = estimate([1.0] * len(seeds))
        parts: dict[str, Estimate] = dict.fromkeys((*RATIOS, "budget"), ones)
        parts |= dict.fromkeys(("sparsity_prunable", "validation_drop", "drop"), estimate([0.0] * len(seeds)))
        said = "none" if seeds else "no dense run"
    else:
        parts = {name: ratio_estimate(_values(chosen, name)) for name in RATIOS}
        parts["sparsity_prunable"] = estimate(_values(chosen, "sparsity_prunable"), 0, 1)
        parts["validation_drop"] = estimate(list(chosen.validation_drops.values()), -1, 1)
        parts["drop"] = drop_on_test(chosen)
        parts["budget"] = ratio_estimate(_budgets(setting, chosen.measured), lowest=0)
        said = verdict(parts["drop"], allowed)
    row = head | {"seeds_failed": failed, "seeds_collapsed": collapsed} | _columns(parts) | {"verdict": said}
    notes = [f"{n} {what}" for n, what in ((failed, "failed"), (collapsed, "collapsed")) if n]
    cells = {
        "method": method.label,
        "d, points": f"{100 * allowed:g}",
        "seeds": ", ".join([f"{len(seeds)} of {len(method.seeds)}", *notes]),
        "compression (parameters)": _interval(parts["compression_params"], "{:.1f}"),
        "compression (weights)": _interval(parts["compression_weights"], "{:.1f}"),
        "speed-up, theoretical": _interval(parts["speedup_theoretical"], "{:.1f}"),
        "speed-up, structural": _interval(parts["speedup_structural"], "{:.2f}"),
        "validation drop, points": _interval(parts["validation_drop"], "{:z.2f}", 100),
        "test drop, points": _interval(parts["drop"], "{:z.2f}", 100),
        "test drop is": said,
        "training, × dense": _interval(parts["budget"], "{:.1f}"),
    }
    return row, cells


def accuracy_at_compression(setting: Setting) -> Table:
    """Top-1 at fixed compressions, interpolated between a run's own points, and the reference rows."""
    numbers, shown = [], []
    for method in setting.methods.values():
        cells = {}
        curves = [curve(setting, method, seed, "compression_params") for seed in method.seeds]
        for ratio in COMPRESSIONS:
            found = estimate([v for c in curves if (v := interpolate(c, ratio)) is not None], 0, 1)
            cells[f"{ratio}×"] = _spread(found, "{:z.2f}", 100)
            numbers.append({"method": method.label, "compression_params": ratio} | _columns({"top1": found}))
        shown.append({"method": method.label} | cells)
    for label, points in _references(setting):
        found = estimate([point.top1 for point in points], 0, 1)
        numbers.append({"method": label, "compression_params": 1} | _columns({"top1": found}))
        shown.append({"method": label, "1×": _spread(found, "{:z.2f}", 100)})
    title = "Top-1 accuracy (%) at equal compression of parameters"
    note = "Mean ± sample standard deviation (seeds), interpolated between a seed's own points; — outside of them"
    columns = ["method", "1×", *(f"{ratio}×" for ratio in COMPRESSIONS)]
    frame = pd.DataFrame(shown, columns=columns).fillna("—")
    return Table("accuracy_at_compression", title, note, pd.DataFrame(numbers), frame)


def _references(setting: Setting) -> list[tuple[str, list[Point]]]:
    trained_on = [
        (f"dense, trained {epochs:.0f} epochs", list(points.values()))
        for epochs, points in sorted(setting.longer.items())
    ]
    return [("dense", list(setting.dense.values())), *trained_on]


def _values(chosen: OperatingPoint, name: str) -> list[float]:
    values = [getattr(point, name) for point in chosen.measured.values()]
    return [value for value in values if value is not None]


def _budgets(setting: Setting, measured: Any) -> list[float]:
    """The training of each point in multiples of its dense training."""
    epochs = [(point.epochs_total, setting.dense[seed].epochs_total) for seed, point in measured.items()]
    return [own / dense for own, dense in epochs if own and dense]


def _columns(parts: dict[str, Estimate]) -> dict[str, float]:
    """Mean (of ratios the geometric one), std, n and the ends of the 95 % interval as columns."""
    columns: dict[str, float] = {}
    for name, e in parts.items():
        columns |= {
            f"{name}_mean": e.mean,
            f"{name}_std": e.std,
            f"{name}_n": e.n,
            f"{name}_low": e.low,
            f"{name}_high": e.high,
        }
    return columns


def _interval(e: Estimate, form: str, scale: float = 1) -> str:
    """The mean, with the ends of its interval where they differ as shown."""
    if not e.n:
        return "—"
    mean, low, high = (form.format(scale * value) for value in (e.mean, e.low, e.high))
    return mean if e.n < 2 or mean == low == high else f"{mean} [{low}, {high}]"


def _spread(e: Estimate, form: str, scale: float = 1) -> str:
    """The mean, with the sample standard deviation and the number of seeds."""
    if not e.n:
        return "—"
    spread = f" ± {form.format(scale * e.std)}" if e.n > 1 else ""
    return f"{form.format(scale * e.mean)}{spread} ({e.n})"


def _inert(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
