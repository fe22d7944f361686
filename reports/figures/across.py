"""Several settings side by side, and how methods rank over them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from reports.curves import Setting
from reports.differences import Ranked
from reports.figures.accuracy import HOW, draw_accuracy
from reports.figures.house import DENSE, Drawn, Legend, Look, cut, grid_of, new_figure, spare
from reports.figures.means import COMPRESSION, points_of
from reports.statistics import Ranking
from reports.styles import Style

LETTER = 0.56  # of its size, a letter's width


def multiples(settings: Sequence[Setting], look: Look, styles: Mapping[str, Style]) -> Drawn | None:
    """Accuracy against compression, a panel a setting; None of a single one."""
    if len(settings) < 2:
        return None
    methods = sorted({(m.label, m.plain) for s in settings for m in s.methods.values() if points_of(m)})
    dense = {"dense": DENSE} if any(setting.dense for setting in settings) else {}
    legend = Legend(look, {**dense, **{label: styles[plain] for label, plain in methods}}, look.widest)
    rows, columns = grid_of(len(settings), look, 17 * look.font / 72)
    size = look.widest / columns
    figure = new_figure(look, rows * 0.85 * size, legend.lines, width=look.widest)
    panels = figure.subplots(rows, columns, squeeze=False)
    letters = math.floor(72 * size / (LETTER * look.font))
    small: dict[Any, Any] = {"lines.linewidth": 0.6 * look.line, "lines.markersize": 0.6 * look.marker}
    for axes, setting in zip(panels.flat, settings, strict=False):
        with mpl.rc_context(small):
            draw_accuracy(axes, setting, COMPRESSION, styles, look)
        axes.xaxis.set_major_locator(LogLocator(base=4))
        axes.set_title(cut(setting.name.rpartition(" · ")[0] or setting.name, letters), fontsize=look.font - 1)
    spare(panels.flat[len(settings) :])
    for axes in panels.flat[max(0, len(settings) - columns) : len(settings)]:
        axes.set_xlabel("Compression")
    for axes in panels[:, 0]:
        axes.set_ylabel("Test top-1 (%)")
    legend.draw(figure)
    return Drawn(figure, f"Test top-1 accuracy against compression of parameters in every setting; {HOW}")


def critical_differences(rankings: Sequence[Ranked], look: Look) -> Drawn | None:
    """Average ranks over settings on a line each, methods that are not shown to differ joined; None without any."""
    if not rankings:
        return None
    heights = [(len(each.ranking.ranks) + 1) // 2 + 4.5 + len(_groups(each.ranking)) / 2 for each in rankings]
    figure = new_figure(look, 1.35 * look.inch * sum(heights))
    panels = figure.subplots(len(rankings), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, each, height in zip(panels, rankings, heights, strict=True):
        _draw_ranks(axes, each, height, look)
    return Drawn(
        figure,
        "Average ranks of the methods over settings (1 is the best; equal values share their ranks). Joined by a bar: "
        "methods whose ranks are within the critical difference, so not shown to differ at 5 % (Friedman, Nemenyi)",
    )


def _draw_ranks(axes: Axes, ranked: Ranked, height: float, look: Look) -> None:
    """The axis of ranks on top, below it the bars of those alike, then the names, the better half to the left."""
    ranks, difference = ranked.ranking.ranks, ranked.ranking.critical_difference
    worst, groups = len(ranks), _groups(ranked.ranking)
    axes.set(xlim=(0.2 - 0.35 * worst, 1.35 * worst + 0.8), ylim=(-height + 2.5, 2))
    axes.axis("off")
    axes.plot([1, worst], [0, 0], color="k", linewidth=look.line)
    for rank in range(1, worst + 1):
        axes.plot([rank, rank], [0, 0.2], color="k", linewidth=0.7 * look.line)
        axes.text(rank, 0.3, str(rank), ha="center", va="bottom", fontsize=look.font - 1)
    test = "" if math.isnan(ranked.ranking.p) else f", Friedman p = {ranked.ranking.p:.2g}"
    told = f"{ranked.by} · {ranked.ranking.blocks} settings, {ranked.rules}{test}"
    axes.set_title(told, loc="left", color="0.35", fontsize=look.font - 1)
    if not math.isnan(difference):
        axes.plot([1, min(1 + difference, 1.35 * worst)], [1.4, 1.4], color="0.4", linewidth=look.line, marker="|")
        axes.text(1 + difference, 1.4, f"  critical difference {difference:.2f}", va="center", fontsize=look.font - 1)
    for level, (low, high) in enumerate(groups, 1):
        axes.plot([low - 0.03, high + 0.03], [-level / 2] * 2, color="0.35", linewidth=2.5 * look.line)
    ordered = sorted(ranks, key=lambda label: (ranks[label], label))
    half, first = (worst + 1) // 2, -len(groups) / 2 - 0.8
    for number, label in enumerate(ordered):
        left = number < half
        place, end = (number, 0.5) if left else (worst - 1 - number, worst + 0.5)
        y = first - place
        axes.plot([ranks[label], ranks[label], end], [0, y, y], color="0.3", linewidth=0.6 * look.line)
        text = f"{cut(label, 28)} {ranks[label]:.2f}" if left else f"{ranks[label]:.2f} {cut(label, 28)}"
        axes.text(end, y, f"{text} " if left else f" {text}", ha="right" if left else "left", va="center")


def _groups(ranking: Ranking) -> list[tuple[float, float]]:
    """The first and last rank of each largest group within the critical difference."""
    if not ranking.p < 0.05 or math.isnan(ranking.critical_difference):
        ends = [(min(ranking.ranks.values()), max(ranking.ranks.values()))]
        return ends if ends[0][0] < ends[0][1] else []
    ranks = sorted(ranking.ranks.values())
    found: list[tuple[float, float]] = []
    for low in ranks:
        high = max(rank for rank in ranks if rank - low <= ranking.critical_difference)
        if high > low and not (found and found[-1][1] >= high):
            found.append((low, high))
    return found
