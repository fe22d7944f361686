"""Ratios side by side: what was asked for and reached, and how fast the same network is by each way of counting."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.ticker import LogLocator, NullLocator

from benchmark.records import EQUAL, METRICS
from reports.curves import Setting
from reports.figures.house import Drawn, Legend, Look, aside, in_lines, name, new_figure, ratios
from reports.figures.means import COMPRESSION, all_at, logarithm
from reports.statistics import Estimate, ratio_estimate
from reports.styles import COLOURS, Style
from reports.tables import measured_speedups

COUNTED = (COMPRESSION, "speedup_theoretical", "speedup_structural")


def speedups(setting: Setting, look: Look) -> Drawn | None:
    """Compression and speed-ups of each method at equal compression, as bars."""
    counted = [*COUNTED, *measured_speedups(setting)]
    rows: dict[str, dict[str, Estimate]] = {}
    for method in setting.methods.values():
        found = {c: all_at(setting, method, logarithm(c), EQUAL) for c in counted}
        reached = {c: ratio_estimate([math.exp(v) for v in found[c]], 0) for c in counted if _finite(found[c])}
        if COMPRESSION in reached:
            rows[method.label] = reached
    if not rows:
        return None
    bars = {_label(c): {"color": COLOURS[i], "marker": "s", "linestyle": "none"} for i, c in enumerate(counted[1:])}
    legend = Legend(look, bars, look.width)
    figure = new_figure(look, (0.9 * len(counted) * len(rows) + 4) * look.inch, legend.lines)
    axes = figure.subplots()
    thick = 0.8 / (len(counted) - 1)
    for row, found in enumerate(rows.values()):
        for i, c in enumerate(counted[1:]):
            if c in found:
                e, place = found[c], row + (i - (len(counted) - 2) / 2) * thick
                axes.barh(place, e.mean - 1, thick * 0.92, left=1, color=COLOURS[i])
                axes.text(
                    max(e.mean, e.high if e.n > 1 else 0),
                    place,
                    f" {e.mean:.3g}×",
                    va="center",
                    fontsize=look.font - 1.5,
                )
                if e.n > 1 and e.high > e.low:
                    axes.plot([e.low, e.high], [place, place], color="k", linewidth=0.4 * look.line)
    axes.set_yticks(range(len(rows)), [in_lines(label) for label in rows])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.axvline(EQUAL, color="0.5", linestyle=":", linewidth=0.6 * look.line)
    axes.set_xlim(1, 1.35 * max(EQUAL, *(e.mean for found in rows.values() for e in found.values())))
    ratios(axes)
    axes.set_xlabel(f"Speed-up at {EQUAL}× compression")
    missing = sorted(setting.methods.keys() - rows.keys())
    name(figure, setting.name, look, f"not reached by every seed: {', '.join(missing)}" if missing else "")
    legend.draw(figure)
    return Drawn(
        figure,
        f"Speed-ups of the same networks by each way of counting, at {EQUAL}× compression of parameters (dotted), "
        "interpolated between each seed's own points: geometric means, lines: 95 % t-intervals over seeds",
    )


def targets(setting: Setting, look: Look, styles: Mapping[str, Style]) -> Drawn | None:
    """How far the realised density is from the one that was asked for; None where no method has a target."""
    found: dict[str, set[tuple[float, float]]] = {}
    for run, label in setting.runs:
        for point in run.points if label.text in setting.methods else ():
            if point.target_sparsity is not None and point.target_sparsity < 1:
                asked = 1 - point.target_sparsity
                deviation = (1 - point.sparsity_prunable) / asked - 1
                found.setdefault(label.text, set()).add((100 * asked, 100 * deviation))
    if not found:
        return None
    entries = {label: {**styles[setting.methods[label].plain], "linestyle": "none"} for label in found}
    legend = Legend(look, entries, look.width)
    figure = new_figure(look, 0.62 * look.width, legend.lines)
    axes = figure.subplots()
    axes.axhline(0, color="0.3", linewidth=0.6 * look.line)
    for number, (label, places) in enumerate(found.items()):
        x, y = np.array(sorted(places)).T
        axes.plot(x * aside(2 * number, 2 * len(found)), y, **entries[label], alpha=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(base=2, numticks=20))
    axes.xaxis.set_major_formatter("{x:.3g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.invert_xaxis()
    furthest = max(abs(y) for places in found.values() for _, y in places)
    axes.set_ylim(-1.2 * max(furthest, 0.1), 1.2 * max(furthest, 0.1))
    axes.set(xlabel="Weights asked to be kept (%)", ylabel="Kept, against asked (%)")
    name(figure, setting.name, look)
    legend.draw(figure)
    return Drawn(
        figure,
        "Realised against asked sparsity: by how many per cent more or fewer weights are kept than the target asks, "
        "each point of each seed; markers of several methods stand a little aside of each other",
    )


def _finite(values: list[float]) -> bool:
    return bool(values) and all(map(math.isfinite, values))


def _label(name: str) -> str:
    return METRICS[name].label if name in METRICS else name.replace("_", " ")
