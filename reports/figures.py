"""The figures: deterministic; whatever a record calls its things is shown as it is."""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from reports.curves import Method, Setting, curve
from reports.schema import LayerFiring, Point
from reports.statistics import estimate, interpolate, ratio_estimate
from reports.styles import Style

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "svg.hashsalt": "nnrelief-bench",
    "svg.fonttype": "none",
    "text.parse_math": False,
}
FORMS: dict[str, dict[str, Any]] = {
    "svg": {"metadata": {"Date": None}},
    "png": {"dpi": 150, "metadata": {"Software": None}},
}
ACROSS = {
    "compression_params": "Compression ratio (all parameters ÷ those kept)",
    "speedup_theoretical": "Theoretical speed-up (dense FLOPs ÷ effective FLOPs)",
}
BANDED = 5  # seeds from which on an interval is drawn as a band
SHOWN_BELOW_DENSE = 6.0  # points of accuracy that the axis shows; what lies lower is drawn at its foot
WIDEST = 50.0  # inches

DENSITY = "Density of each layer at the measured point nearest to 16× compression, mean over seeds"
FIRING = (
    "Neural activity by layer, on validation images, before pruning and at the measured point nearest to "
    "16× compression, mean over seeds; class overlap: sum of minima / sum of maxima of two classes' rates"
)
PANELS: dict[str, Callable[[LayerFiring], float]] = {
    "Active outputs": lambda layer: layer.active_share,
    "Dead units": lambda layer: layer.dead_share,
    "Class overlap": lambda layer: layer.class_overlap,
}


def draw_all(setting: Setting, styles: Mapping[str, Style]) -> tuple[dict[str, str], dict[str, bytes]]:
    """The titles of a setting's figures by stem, and their files, PNG and SVG, by name."""
    titles, files = {}, {}
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in a script that the font lacks
        warnings.filterwarnings("ignore", message="constrained_layout not applied")  # names longer than the figure
        for x, label in ACROSS.items():
            titles[f"accuracy_{x}"] = (
                f"Accuracy against {label[0].lower()}{label[1:]}; lines: means, where all seeds have points around; "
                "thin lines: seeds, or from five on bands: 95 % t-intervals; crosses: collapsed"
            )
            files |= _files(_accuracy(setting, x, label, styles), f"accuracy_{x}")
        titles["layer_density"] = DENSITY
        files |= _files(_densities(setting), "layer_density")
        if firing := _firing(setting, styles):
            titles["firing"] = FIRING
            files |= _files(firing, "firing")
    return titles, files


def _accuracy(setting: Setting, x: str, label: str, styles: Mapping[str, Style]) -> Figure:
    figure = Figure(figsize=(6.4, _height(setting, 4.0)), layout="constrained")
    axes = figure.subplots()
    dense = estimate([point.top1 for point in setting.dense.values()])
    values = [100 * point.top1 for method in setting.methods.values() for point in _drawn(method, x)]
    highest = max([*values, 100 * dense.mean] if dense.n else values, default=100.0)
    foot = max(min(values, default=highest), (100 * dense.mean if dense.n else highest) - SHOWN_BELOW_DENSE)
    if dense.n:
        axes.axhline(100 * dense.mean, color="0.3", linestyle="--", linewidth=1, label="dense")
    for method in setting.methods.values():
        if points := _drawn(method, x):
            style = styles[method.plain]
            _draw_mean(axes, [curve(setting, method, seed, x) for seed in method.seeds], style)
            _draw_points(axes, points, x, foot, style)
            axes.plot([], [], label=_legend(method.label), **style)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(LogLocator(base=2))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}×"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(foot - 0.5, highest + 0.5)
    if notes := _notes(setting, x, [value for value in values if value < foot]):
        figure.supxlabel(_wrapped(notes, 110), x=0.01, ha="left", fontsize=7)
    axes.set(xlabel=label, ylabel="Test top-1 accuracy (%)", title=_wrapped(setting.name, 70))
    if axes.lines:
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return figure


def _drawn(method: Method, x: str) -> list[Point]:
    """The points with a place on the axis, in the order of seeds."""
    points = [point for seed in method.seeds for point in method.of_seed(seed)]
    return [point for point in points if getattr(point, x) is not None]


def _draw_mean(axes: Axes, curves: list[list[tuple[float, float]]], style: Style) -> None:
    """The mean over seeds with its interval, where every seed has points on both sides."""
    start = max(c[0][0] if c else np.inf for c in curves)
    stop = min(c[-1][0] if c else 0.0 for c in curves)
    if start >= stop:
        return
    grid = np.geomspace(start, stop, 100)
    grid[[0, -1]] = start, stop
    found = [estimate([v for c in curves if (v := interpolate(c, g)) is not None], 0, 1) for g in grid]
    mean, low, high = (100 * np.array([getattr(e, part) for e in found]) for part in ("mean", "low", "high"))
    axes.plot(grid, mean, linewidth=1.5, color=style["color"], linestyle=style["linestyle"])
    if len(curves) >= BANDED:
        axes.fill_between(grid, low, high, color=style["color"], alpha=0.15, linewidth=0)
    else:  # an interval of two or three seeds is as wide as the axes; its ends are in the tables
        for seed in curves:
            axes.plot(*np.array(seed).T * [[1], [100]], color=style["color"], alpha=0.3, linewidth=0.6)


def _draw_points(axes: Axes, points: list[Point], x: str, foot: float, style: Style) -> None:
    """Every point; those below the axis lie on its foot, and a cross is over those that collapsed."""
    places = np.array([(getattr(point, x), max(100 * point.top1, foot - 0.35)) for point in points])
    axes.plot(*places.T, markersize=3.5, alpha=0.7, **{**style, "linestyle": "none"})
    if any(point.collapsed for point in points):
        crossed = places[[point.collapsed for point in points]]
        axes.plot(*crossed.T, marker="x", markersize=7, color=style["color"], linestyle="none")


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
    if lost := sum(getattr(point, x) is None for point in points):
        notes.append(f"{lost} of {len(points)} points have nothing left, so no place here")
    return "; ".join(notes)


def _densities(setting: Setting) -> Figure:
    """A heat map: methods down, layers across."""
    rows: dict[str, dict[str, float]] = {}
    for method in setting.methods.values():
        if nearest := _nearest(method):
            ratio = ratio_estimate([point.compression_params or 1 for point in nearest]).mean
            rows[f"{_legend(method.label)} ({ratio:.0f}×)"] = _means(
                (point.layers for point in nearest), lambda layer: layer.density
            )
    names = _names(rows.values())
    size = (min(max(4.5, 0.45 * len(names) + 2.5), WIDEST), min(0.35 * len(rows) + 1.4, WIDEST))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.grid(visible=False)
    if names:
        density = np.array([[row.get(name, np.nan) for name in names] for row in rows.values()])
        image = axes.imshow(100 * density, aspect="auto", cmap="viridis", vmin=0, vmax=100)
        figure.colorbar(image, label="Weights kept (%)")
        for (i, j), value in np.ndenumerate(density):
            if density.size <= 3000 and not np.isnan(value):
                colour = "w" if value < 0.6 else "k"
                axes.text(j, i, f"{100 * value:.3g}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_yticks(range(len(rows)), list(rows))
    _name_layers(axes, names, 45)
    axes.set(xlabel="Layer", title=_wrapped(setting.name, 12 * round(size[0])))
    return figure


def _firing(setting: Setting, styles: Mapping[str, Style]) -> Figure | None:
    """Share of active units and overlap of the classes across layers; None where no record has them."""
    lines = {"dense": (list(setting.dense.values()), {"color": "0.3", "linestyle": "--"})}
    lines |= {method.label: (_nearest(method), styles[method.plain]) for method in setting.methods.values()}
    seen = {label: [p.firing for p in points if p.firing] for label, (points, _) in lines.items()}
    names = _names(_means(rows, lambda layer: 1.0) for rows in seen.values())
    if not names:
        return None
    figure = Figure(figsize=(min(max(7.5, 0.5 * len(names) + 3), WIDEST), _height(setting, 3.4)), layout="constrained")
    for axes, (label, value) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for method, rows in seen.items():
            if rows:
                means = _means(rows, value)
                shares = [100 * means.get(name, np.nan) for name in names]
                axes.plot(
                    range(len(names)), shares, label=_legend(method), markersize=4, linewidth=1.2, **lines[method][1]
                )
        _name_layers(axes, names, 90)
        axes.set(xlabel="Layer", ylabel=f"{label} (%)")
        axes.set_ylim(bottom=0)
    figure.suptitle(_wrapped(setting.name, 90), fontsize=10)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), fontsize=8, loc="outside right upper", frameon=False)
    return figure


def _nearest(method: Method) -> list[Point]:
    """Of each seed, the measured point nearest to 16x compression."""
    points = [[p for p in method.of_seed(seed) if p.compression_params] for seed in method.seeds]
    return [min(p, key=lambda q: abs(math.log((q.compression_params or 1) / 16))) for p in points if p]


def _means(rows: Iterable[list[Any]], value: Callable[[Any], float]) -> dict[str, float]:
    """The mean over the rows of what each of their layers has, by name."""
    found: dict[str, list[float]] = {}
    for layers in rows:
        for layer in layers:
            found.setdefault(layer.name, []).append(value(layer))
    return {name: float(np.mean(values)) for name, values in found.items()}


def _names(rows: Iterable[Mapping[str, float]]) -> list[str]:
    """The names of all layers, in the order of the network."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _name_layers(axes: Axes, names: list[str], angle: int) -> None:
    """The layers' names below the axis, of many only some."""
    every = 1 + len(names) // 150
    ticks = range(0, len(names), every)
    axes.set_xticks(ticks, [_cut(names[i], 30) for i in ticks], rotation=angle if len(names) > 4 else 0, fontsize=7)


def _legend(label: str) -> str:
    """A method's label in lines; matplotlib leaves out those that begin with an underscore."""
    return _wrapped(f" {label}" if label.startswith("_") else label, 40)


def _height(setting: Setting, least: float) -> float:
    """Inches that leave room for a legend of all methods."""
    lines = sum(_legend(label).count("\n") + 1 for label in setting.methods)
    return min(max(least, 0.18 * lines + 0.8), WIDEST)


def _wrapped(text: str, width: int) -> str:
    lines = textwrap.wrap(text, width, drop_whitespace=False) or [text]
    return "\n".join([*lines[:4], "…"] if len(lines) > 4 else lines)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _files(figure: Figure, stem: str) -> dict[str, bytes]:
    files = {}
    for form, options in FORMS.items():
        file = io.BytesIO()
        figure.savefig(file, format=form, **options)
        files[f"{stem}.{form}"] = file.getvalue()
    return files
