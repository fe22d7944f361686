"""The figures: deterministic; a method has the same colour and marker in all figures of all reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmark.config import shipped_files
from reports.curves import REFERENCE, Row, Setting, curve
from reports.statistics import estimate, interpolate

# Okabe and Ito's colours, which colour-blind readers tell apart; markers serve those who print in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00", "#999933")
MARKERS = "osD^vPX*"
LINES = ("-", "--", ":", "-.")  # of one method with different options
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "svg.hashsalt": "nnrelief-bench",
    "svg.fonttype": "none",
}
ACROSS = {
    "compression_params": "Compression ratio (all parameters ÷ those kept)",
    "speedup_theoretical": "Theoretical speed-up (dense FLOPs ÷ effective FLOPs)",
}


def draw_all(setting: Setting, methods: list[str], folder: Path) -> dict[str, str]:
    """Write each figure of a setting as PNG and SVG; titles by file stem. `methods` are the labels of all settings."""
    styles = styles_of(methods)
    titles = {}
    with mpl.rc_context(STYLE):
        for x, label in ACROSS.items():
            _save(_accuracy(setting, x, label, styles), folder / f"accuracy_{x}")
            titles[f"accuracy_{x}"] = (
                f"Accuracy against {label[0].lower()}{label[1:]}; bands: 95 % t-interval over seeds"
            )
        _save(_densities(setting), folder / "layer_density")
        titles["layer_density"] = (
            "Density of each layer at the measured point nearest to 16× compression, mean over seeds"
        )
        if firing := _firing(setting, styles):
            _save(firing, folder / "firing")
            titles["firing"] = (
                "Neural activity by layer, on validation images, before pruning and at the measured point nearest to "
                "16× compression, mean over seeds; class overlap: sum of minima / sum of maxima of two classes' rates"
            )
    return titles


def styles_of(labels: list[str]) -> dict[str, Row]:
    """Colour, marker and line of each label: the colour is the method's own, those of this suite first."""
    methods = {label: label.rstrip("†‡").partition(" (")[0] for label in labels}
    known = [name for name in shipped_files() if name != REFERENCE]
    order = known + sorted(set(methods.values()) - set(known))
    styles = {}
    for label in sorted(labels):
        number = order.index(methods[label])
        variant = sum(methods[other] == methods[label] for other in styles)
        styles[label] = {
            "color": COLOURS[number % len(COLOURS)],
            "marker": MARKERS[(number + variant) % len(MARKERS)],
            "linestyle": LINES[variant % len(LINES)],
        }
    return styles


def _firing(setting: Setting, styles: dict[str, Row]) -> Figure | None:
    """Share of active units and overlap of the classes across layers; None where no record has them."""
    lines: dict[str, tuple[list[Row], Any]] = {}
    if any("firing" in point for point in setting.dense.values()):
        lines["dense"] = list(setting.dense.values()), {"color": "0.3", "linestyle": "--"}
    for method, seeds in setting.methods.items():
        lines[method] = _nearest(seeds), styles[method]
    lines = {name: (found, style) for name, (points, style) in lines.items() if (found := _with_firing(points))}
    if not lines:
        return None
    names = [layer["name"] for layer in next(iter(lines.values()))[0][0]["firing"]]
    figure = Figure(figsize=(max(7.5, 0.5 * len(names) + 3), 3.4), layout="constrained")
    panels = {
        "active_share": "Active outputs",
        "dead_units": "Dead units",
        "class_overlap": "Class overlap",
    }
    for axes, (field, label) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for name, (points, style) in lines.items():
            values = [[_share(layer, field) for layer in p["firing"] if layer["name"] in names] for p in points]
            axes.plot(
                range(len(names)), 100 * np.mean(values, axis=0), label=name, markersize=4, linewidth=1.2, **style
            )
        axes.set_xticks(range(len(names)), names, rotation=90 if len(names) > 4 else 0, fontsize=7)
        axes.set(xlabel="Layer", ylabel=f"{label} (%)")
        axes.set_ylim(bottom=0)
    figure.suptitle(setting.name, fontsize=10)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), fontsize=8, loc="outside right upper", frameon=False)
    return figure


def _share(layer: Row, field: str) -> float:
    return layer[field] / layer["units"] if field == "dead_units" else layer[field]


def _with_firing(points: list[Row]) -> list[Row]:
    return [point for point in points if point.get("firing")]


def _nearest(seeds: dict[int, list[Row]]) -> list[Row]:
    """Of each seed, the measured point nearest to 16x compression."""
    points = [[p for p in seed if p["compression_params"]] for seed in seeds.values()]
    return [min(p, key=lambda q: abs(np.log(q["compression_params"] / 16))) for p in points if p]


def _accuracy(setting: Setting, x: str, label: str, styles: dict[str, Row]) -> Figure:
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    dense = estimate([p["top1"] for p in setting.dense.values()])
    values: list[float] = []
    if dense.n:
        axes.axhline(100 * dense.mean, color="0.3", linestyle="--", linewidth=1, label="dense")
        values.append(100 * dense.mean)
    for method, seeds in setting.methods.items():
        style = styles[method]
        curves = [curve(setting, method, seed, x) for seed in seeds]
        if not any(curves):
            continue
        grid = np.geomspace(min(c[0][0] for c in curves), max(c[-1][0] for c in curves), 100)
        found = [estimate([v for c in curves if (v := interpolate(c, g)) is not None]) for g in grid]
        mean, half = (100 * np.array([getattr(e, part) for e in found]) for part in ("mean", "half_width"))
        axes.plot(grid, mean, linewidth=1.5, color=style["color"], linestyle=style["linestyle"])
        axes.fill_between(grid, mean - half, mean + half, color=style["color"], alpha=0.15, linewidth=0)
        points = [(px, 100 * py) for c in curves for px, py in c if px > 1]
        axes.plot(*np.array(points).reshape(-1, 2).T, markersize=3.5, alpha=0.7, **{**style, "linestyle": "none"})
        axes.plot([], [], label=method, **style)
        values += [py for _, py in points]
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(LogLocator(base=2))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}×"))
    axes.xaxis.set_minor_locator(NullLocator())
    if values:
        lowest = max(min(values), (100 * dense.mean if dense.n else max(values)) - 6)
        axes.set_ylim(lowest - 0.5, max(values) + 0.5)
        if min(values) < lowest:
            note = f"lowest point {min(values):.1f} %, below the axis"
            axes.text(0.01, 0.01, note, transform=axes.transAxes, fontsize=7)
    axes.set(xlabel=label, ylabel="Test top-1 accuracy (%)", title=setting.name)
    if axes.lines:
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return figure


def _densities(setting: Setting) -> Figure:
    """A heat map: methods down, layers across."""
    rows: dict[str, list[float]] = {}
    names: list[str] = []
    for method, seeds in setting.methods.items():
        if nearest := _nearest(seeds):
            names = [layer["name"] for layer in nearest[0]["layers"]]
            shares = [[layer["kept"] / layer["total"] for layer in p["layers"]] for p in nearest]
            ratio = np.mean([p["compression_params"] for p in nearest])
            rows[f"{method} ({ratio:.0f}×)"] = [float(v) for v in np.mean(shares, axis=0)]
    figure = Figure(figsize=(max(4.5, 0.45 * len(names) + 2.5), 0.35 * len(rows) + 1.4), layout="constrained")
    axes = figure.subplots()
    axes.grid(visible=False)
    if rows:
        density = np.array(list(rows.values()))
        image = axes.imshow(100 * density, aspect="auto", cmap="viridis", vmin=0, vmax=100)
        figure.colorbar(image, label="Weights kept (%)")
        for (i, j), value in np.ndenumerate(density):
            axes.text(
                j, i, f"{100 * value:.3g}", ha="center", va="center", fontsize=7, color="w" if value < 0.6 else "k"
            )
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_xticks(range(len(names)), names, rotation=45 if len(names) > 4 else 0)
    axes.set(xlabel="Layer", title=setting.name)
    return figure


def _save(figure: Figure, stem: Path) -> None:
    metadata: dict[str, Any] = {"Date": None}
    figure.savefig(stem.with_suffix(".svg"), metadata=metadata)
    figure.savefig(stem.with_suffix(".png"), dpi=150, metadata={"Software": None})
