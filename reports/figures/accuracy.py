"""Accuracy against compression and speed-up, and the networks that no other beats in both."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from reports.curves import Method, Setting, curve
from reports.figures.house import DENSE, Drawn, Legend, Look, aside, name, new_figure, ratios
from reports.figures.means import COMPRESSION, Mean, heading, means, points_of
from reports.schema import Point
from reports.statistics import estimate
from reports.styles import Style

BANDED = 5  # seeds from which on an interval is drawn as a band
SHOWN_BELOW_DENSE = 6.0  # points of accuracy that the axis shows; what lies lower is drawn at its foot
HOW = (
    "means over seeds at each operating point with 95 % t-intervals; thin lines: seeds; from five seeds on bands; "
    "crosses: collapsed"
)


def accuracy(setting: Setting, x: str, look: Look, styles: Mapping[str, Style]) -> Drawn:
    """Test accuracy against a ratio."""
    legend = _legend(setting, x, look, styles)
    figure = new_figure(look, 0.62 * look.width, legend.lines)
    axes = figure.subplots()
    below = draw_accuracy(axes, setting, x, styles, look)
    axes.set(xlabel=heading(x), ylabel="Test top-1 accuracy (%)")
    name(figure, setting.name, look, _notes(setting, x, below))
    legend.draw(figure)
    label = heading(x)
    return Drawn(figure, f"Test top-1 accuracy against {label[0].lower()}{label[1:]}; {HOW}")


def draw_accuracy(axes: Axes, setting: Setting, x: str, styles: Mapping[str, Style], look: Look) -> list[float]:
    """Draw all methods of a setting; returns the accuracies, in %, that lie below the axis."""
    dense = estimate([point.top1 for point in setting.dense.values()])
    values = [100 * point.top1 for method in setting.methods.values() for point in points_of(method, x)]
    highest = max([*values, 100 * dense.mean] if dense.n else values, default=100.0)
    foot = max(min(values, default=highest), (100 * dense.mean if dense.n else highest) - SHOWN_BELOW_DENSE)
    if dense.n:
        axes.axhline(100 * dense.mean, color=DENSE["color"], linestyle=DENSE["linestyle"], linewidth=0.7 * look.line)
    for number, method in enumerate(setting.methods.values()):
        style = styles[method.plain]
        seeds = [curve(setting, method, seed, x) for seed in method.seeds]
        if len(method.seeds) < BANDED:
            for seed in filter(None, seeds):
                axes.plot(*np.array(seed).T * [[1], [100]], color=style["color"], alpha=0.3, linewidth=look.line / 3)
        _draw_means(axes, means(setting, method, x), aside(number, len(setting.methods)), foot, style, look)
        _draw_points(axes, method, points_of(method, x), x, foot, style, look)
    ratios(axes)
    axes.set_ylim(foot - 0.6, highest + 0.6)
    return [value for value in values if value < foot]


def _draw_means(axes: Axes, found: list[Mean], shift: float, foot: float, style: Style, look: Look) -> None:
    if not found:
        return
    x = [shift * mean.x for mean in found]
    mean, low, high = (100 * np.array([getattr(m.y, part) for m in found]) for part in ("mean", "low", "high"))
    axes.plot(x, mean, color=style["color"], linestyle=style["linestyle"])
    own = [i for i, point in enumerate(found) if point.x > 1.0001]  # the dense network has its line
    axes.plot([x[i] for i in own], [max(mean[i], foot - 0.35) for i in own], **{**style, "linestyle": "none"})
    if found[0].y.n >= BANDED:
        axes.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
    elif found[0].y.n > 1:
        axes.vlines(
            [x[i] for i in own], low[own], high[own], color=style["color"], alpha=0.45, linewidth=0.55 * look.line
        )


def _draw_points(
    axes: Axes, method: Method, points: list[Point], x: str, foot: float, style: Style, look: Look
) -> None:
    """The points of operating points that only some seeds have, and a cross over each that collapsed."""
    whole = {id(p) for each in method.points.values() if len(each) == len(method.seeds) for p in each.values()}
    alone = [p for p in points if id(p) not in whole]
    for some, form in (
        (alone, {**style, "linestyle": "none", "markersize": 0.7 * look.marker, "alpha": 0.6}),
        ([p for p in points if p.collapsed], {"color": style["color"], "linestyle": "none", "marker": "x"}),
    ):
        if some:
            axes.plot(*np.array([(p.value(x), max(100 * p.top1, foot - 0.35)) for p in some]).T, **form)


def _notes(setting: Setting, x: str, below: list[float]) -> str:
    """What the reader could miss: points at the foot of the axis, and collapsed ones."""
    points = [p for method in setting.methods.values() for seed in method.seeds for p in method.of_seed(seed)]
    notes = []
    if below:
        notes.append(
            f"{len(below)} of {len(points)} points lie below the axis, drawn at its foot; lowest {min(below):.1f} %"
        )
    if collapsed := sum(point.collapsed for point in points):
        notes.append(f"{collapsed} of {len(points)} points are collapsed (crosses)")
    if lost := sum(point.value(x) is None for point in points):
        notes.append(f"{lost} of {len(points)} points have nothing left, so no place here")
    return "; ".join(notes)


def pareto(setting: Setting, look: Look, styles: Mapping[str, Style]) -> Drawn | None:
    """The operating points of all methods, and the line of those that none beats in size and in accuracy."""
    found = [
        (test, validation.y.mean, method)
        for method in setting.methods.values()
        for test, validation in zip(
            means(setting, method, COMPRESSION), means(setting, method, COMPRESSION, "val_top1"), strict=True
        )
        if test.x > 1.0001
    ]
    if not found:
        return None
    best, front = -1.0, []
    for test, validation, method in sorted(found, key=lambda item: (-item[0].x, -item[1])):
        if validation > best:
            best = validation
            front.append((test, method))
    front.reverse()
    legend = _legend(setting, COMPRESSION, look, styles)
    figure = new_figure(look, 0.62 * look.width, legend.lines)
    axes = figure.subplots()
    dense = estimate([point.top1 for point in setting.dense.values()])
    if dense.n:
        axes.axhline(100 * dense.mean, color=DENSE["color"], linestyle=DENSE["linestyle"], linewidth=0.7 * look.line)
    axes.plot([m.x for m, _ in front], [100 * m.y.mean for m, _ in front], color="0.75", linewidth=2.5 * look.line)
    chosen = {id(m) for m, _ in front}
    for test, _, method in sorted(found, key=lambda item: id(item[0]) in chosen):
        alpha, size = (1.0, 1.4 * look.marker) if id(test) in chosen else (0.35, 0.8 * look.marker)
        form = {**styles[method.plain], "linestyle": "none", "alpha": alpha, "markersize": size}
        axes.plot(test.x, 100 * test.y.mean, **form)
    ratios(axes)
    values = [100 * test.y.mean for test, _, _ in found]
    highest = max(values + ([100 * dense.mean] if dense.n else []))
    foot = max(min(values), highest - SHOWN_BELOW_DENSE)
    axes.set_ylim(foot - 0.6, highest + 0.6)
    hidden = sum(value < foot for value in values)
    axes.set(xlabel=heading(COMPRESSION), ylabel="Test top-1 accuracy (%)")
    name(figure, setting.name, look, f"{hidden} of {len(found)} operating points lie below the axis" if hidden else "")
    legend.draw(figure)
    return Drawn(
        figure,
        "Pareto front over all methods: the operating points (means over seeds) that none beats both in compression "
        "and in validation accuracy, large and joined; the others are faint. Drawn is test accuracy",
    )


def _legend(setting: Setting, x: str, look: Look, styles: Mapping[str, Style]) -> Legend:
    drawn = {m.label: styles[m.plain] for m in setting.methods.values() if points_of(m, x)}
    return Legend(look, {**({"dense": DENSE} if setting.dense else {}), **drawn}, look.width)
