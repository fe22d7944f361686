"""What pruning leaves of each layer: its weights, and how its units fire."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np

from benchmark.records import EQUAL
from reports.curves import Method, Setting
from reports.figures.house import DEEPEST, DENSE, Drawn, Legend, Look, cut, in_lines, name, name_layers, new_figure
from reports.figures.means import at, nearest, ordered, typical
from reports.schema import LayerFiring, Point
from reports.statistics import Estimate, estimate
from reports.styles import Style

WRITTEN = 1500  # cells of a heat map that carry their number
PANELS: dict[str, Callable[[LayerFiring], float]] = {
    "Active outputs (%)": lambda layer: layer.active_share,
    "Dead units (%)": lambda layer: layer.dead_share,
    "Class overlap (%)": lambda layer: layer.class_overlap,
}


def densities(setting: Setting, look: Look) -> Drawn:
    """A heat map: methods down, layers across; at equal compression where a method reaches it."""
    rows = dict(_row(setting, method) for method in setting.methods.values() if nearest(method))
    names = ordered(rows.values())
    cell = 4.6 * look.font / 72
    title = max((cut(n, 30) for n in names), key=len, default="")
    labels = max((len(line) for label in rows for line in label.split("\n")), default=0) * 0.55 * look.font / 72
    width = max(look.width, cell * len(names) + labels + 1.0)
    tall = (
        sum(1.25 * (label.count("\n") + 1) for label in rows) * look.inch + 4 * look.inch + 0.4 * look.inch * len(title)
    )
    figure = new_figure(look, min(tall, DEEPEST), width=width)
    axes = figure.subplots()
    axes.grid(visible=False)
    if names:
        share = np.array([[row.get(n, np.nan) for n in names] for row in rows.values()])
        image = axes.imshow(100 * share, aspect="auto", cmap="viridis", vmin=0, vmax=100)
        figure.colorbar(image, label="Weights kept (%)", pad=0.02)
        for (i, j), value in np.ndenumerate(share):
            if share.size <= WRITTEN and not np.isnan(value):
                colour = "w" if value < 0.6 else "k"
                size = look.font - 1.5
                axes.text(j, i, f"{100 * value:.3g}", ha="center", va="center", color=colour, fontsize=size)
    axes.set_yticks(range(len(rows)), list(rows))
    name_layers(axes, names)
    name(figure, setting.name, look)
    return Drawn(
        figure,
        f"Weights kept of each layer at {EQUAL}× compression of parameters, interpolated between each seed's own "
        "points, mean over seeds; methods that do not reach it: at their nearest measured point, with its compression",
    )


def _row(setting: Setting, method: Method) -> tuple[str, dict[str, float]]:
    """A method's label, with its compression where it is another, and the densities of its layers."""
    found = {}
    for layer in ordered([part.name for part in point.layers] for point in nearest(method)):
        values = [at(setting, method, seed, _density(layer), EQUAL) for seed in method.seeds]
        if values and all(v is not None and not np.isnan(v) for v in values):
            found[layer] = float(np.mean([v for v in values if v is not None]))
    if found:
        return in_lines(method.label), found
    points = nearest(method)
    return f"{in_lines(method.label)} ({typical(points):.3g}×)", _means(points)


def _density(layer: str) -> Callable[[Point], float]:
    return lambda point: next((part.density for part in point.layers if part.name == layer), np.nan)


def _means(points: list[Point]) -> dict[str, float]:
    """The mean density of each layer, over the points that have it."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for point in points:
        for layer in point.layers:
            found[layer.name].append(layer.density)
    return {layer: float(np.mean(values)) for layer, values in found.items()}


def firing(setting: Setting, look: Look, styles: Mapping[str, Style]) -> Drawn | None:
    """Activity by layer before and after pruning, and overlap of the classes; None where no record has them."""
    fired = [(method, nearest(method, fits=lambda point: point.firing)) for method in setting.methods.values()]
    found = {f"{m.label} ({typical(points):.3g}×)": (points, styles[m.plain]) for m, points in fired if points}
    lines = {"dense": (list(setting.dense.values()), {**DENSE, "marker": "."}), **found}
    seen = {label: [p.firing for p in points if p.firing] for label, (points, _) in lines.items()}
    names = ordered([layer.name for layer in row] for rows in seen.values() for row in rows)
    if not names:
        return None
    entries = {label: lines[label][1] for label, rows in seen.items() if rows}
    width = max(look.widest, len(PANELS) * 1.6 * look.inch * len(names) * 0.7)
    legend = Legend(look, entries, look.widest)
    figure = new_figure(look, 0.42 * look.widest, legend.lines, width=width)
    for axes, (label, value) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for number, (method, style) in enumerate(entries.items()):
            _draw_line(axes, names, _spread(seen[method], value), style, (number / len(entries) - 0.5) * 0.3, look)
        name_layers(axes, names)
        axes.set_title(label)
        axes.set_ylim(bottom=0)
    name(figure, setting.name, look)
    legend.draw(figure)
    return Drawn(
        figure,
        f"Neural activity by layer on validation images, before pruning and at the measured point nearest to {EQUAL}× "
        "compression (its own in brackets): mean and standard deviation over seeds; class overlap: sum of minima / sum "
        "of maxima of two classes' firing rates",
    )


def _spread(rows: list[list[LayerFiring]], value: Callable[[LayerFiring], float]) -> dict[str, Estimate]:
    found: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        for layer in row:
            found[layer.name].append(100 * value(layer))
    return {layer: estimate(values) for layer, values in found.items()}


def _draw_line(axes, names: list[str], found: dict[str, Estimate], style: Style, aside: float, look: Look) -> None:
    """A method's line, its marks a little aside so that those of several methods can be told apart."""
    places = [(i + aside, found[n]) for i, n in enumerate(names) if n in found]
    x, mean = [place for place, _ in places], [e.mean for _, e in places]
    spread = [0.0 if np.isnan(e.std) else e.std for _, e in places]
    form = {**style, "linewidth": 0.6 * look.line, "elinewidth": 0.4 * look.line}
    axes.errorbar(x, mean, spread, **form)
