"""What training does: accuracy before and after retraining, and epoch by epoch with the prunings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from benchmark.records import EQUAL
from reports.curves import Setting
from reports.figures.house import DENSE, Drawn, Legend, Look, cut, grid_of, name, new_figure, ratios, spare
from reports.figures.means import COMPRESSION, heading, nearest, typical
from reports.records import RunRecord
from reports.schema import Epoch
from reports.statistics import estimate, ratio_estimate
from reports.styles import Style

Runs = dict[str, list[RunRecord]]  # by method
SHOWN_BELOW_DENSE = 20.0  # points of accuracy that the axis of epochs shows
TICKED = 60  # prunings that are marked one by one


def retraining(setting: Setting, look: Look, styles: Mapping[str, Style]) -> Drawn | None:
    """Accuracy right after pruning and after the round's training; None where no trained network was pruned."""
    before, after = (
        {m: _staged(setting, runs, stage) for m, runs in _runs(setting).items()} for stage in ("pruned", "trained")
    )
    shown = [label for label, points in before.items() if points and after[label]]
    if not shown:
        return None
    entries = {label: styles[setting.methods[label].plain] for label in shown}
    legend = Legend(look, {**({"dense": DENSE} if setting.dense else {}), **entries}, look.widest)
    figure = new_figure(look, 0.45 * look.widest, legend.lines, width=look.widest)
    panels = figure.subplots(1, 2, sharey=True, sharex=True, squeeze=False)[0]
    for axes, found, title in zip(panels, (before, after), ("before retraining", "after retraining"), strict=True):
        if setting.dense:
            level = 100 * estimate([point.top1 for point in setting.dense.values()]).mean
            axes.axhline(level, color=DENSE["color"], linestyle=DENSE["linestyle"])
        for label, style in entries.items():
            axes.plot(*np.array(found[label]).T, **style)
        axes.set(title=title, xlabel="Compression (parameters)")
        ratios(axes)
    panels[0].set_ylabel("Test top-1 accuracy (%)")
    name(figure, setting.name, look)
    legend.draw(figure)
    return Drawn(
        figure,
        f"Test top-1 accuracy right after pruning and after the round's training, against {_lower(COMPRESSION)}; means "
        "over seeds; methods that prune before any training are left out",
    )


def training(setting: Setting, look: Look, styles: Mapping[str, Style]) -> Drawn | None:
    """Validation accuracy by epoch, a panel a method, with its prunings."""
    runs = {label: found for label, runs in _runs(setting).items() if (found := _nearest_runs(runs))}
    if not runs:
        return None
    rows, columns = grid_of(len(runs), look, 15 * look.font / 72 if look.wide else 17 * look.font / 72)
    size = look.widest / columns
    figure = new_figure(look, rows * min(0.85 * size, 2.2 * look.font / 8), width=look.widest)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    dense = [point.val_top1 for point in setting.dense.values()]
    highest = max([*dense, *(e.val_top1 for found in runs.values() for run in found for e in run.epochs)])
    for axes, (label, found) in zip(panels.flat, runs.items(), strict=False):
        if dense:
            axes.axhline(100 * np.mean(dense), color=DENSE["color"], linestyle=DENSE["linestyle"], linewidth=0.6)
        _draw_epochs(axes, found, styles[setting.methods[label].plain], look)
        ratio = typical(nearest(setting.methods[label]))
        axes.set_title(f"{cut(label, 24)} ({ratio:.3g}×)", color=styles[setting.methods[label].plain]["color"])
        axes.set_ylim(100 * highest - SHOWN_BELOW_DENSE, 100 * highest + 1)
    for axes in panels[-1]:
        axes.set_xlabel("Epoch")
    for axes in panels[:, 0]:
        axes.set_ylabel("Validation\ntop-1 (%)")
    spare(panels.flat[len(runs) :])
    name(figure, setting.name, look)
    return Drawn(
        figure,
        f"Validation top-1 accuracy by epoch of the runs that end nearest to {EQUAL}× compression (their own in "
        "brackets): mean and, thin, each seed; ticks at the foot: prunings; dashed: the dense network",
    )


def _runs(setting: Setting) -> Runs:
    found: Runs = {label: [] for label in setting.methods}
    for run, label in setting.runs:
        if label.text in found and not run.problem:
            found[label.text].append(run)
    return found


def _staged(setting: Setting, runs: list[RunRecord], stage: str) -> list[tuple[float, float]]:
    """Compression and accuracy in % of a stage, means over the runs of a target and round, sorted."""
    targets = {id(run): label.target for run, label in setting.runs}
    groups: defaultdict[tuple[float | str | None, int], list[tuple[float, float]]] = defaultdict(list)
    for run in runs:
        for point in run.points:
            if point.stage == stage and point.round and point.epochs_total and point.compression_params:
                key = targets[id(run)], point.round
                groups[key].append((point.compression_params, 100 * point.top1))
    means = [(ratio_estimate([x for x, _ in g]).mean, estimate([y for _, y in g]).mean) for g in groups.values()]
    return sorted(means) if stage == "trained" or _after_training(runs) else []


def _after_training(runs: list[RunRecord]) -> bool:
    """Whether the networks had been trained when they were first pruned."""
    first = [min((p for p in run.points if p.stage == "pruned"), key=lambda p: p.round, default=None) for run in runs]
    return all(point is not None and point.epochs_total > 0 for point in first)


def _nearest_runs(runs: list[RunRecord]) -> list[RunRecord]:
    """Of each seed, the run that ends nearest to the compression at which methods are compared."""

    def distance(run: RunRecord) -> float:
        ends = [p.compression_params for p in run.points if p.compression_params]
        return abs(np.log(ends[-1] / EQUAL)) if ends else np.inf

    seeds = sorted({run.seed for run in runs})
    found = [min((r for r in runs if r.seed == s), key=lambda r: (distance(r), r.name)) for s in seeds]
    return [run for run in found if run.epochs]


def _draw_epochs(axes: Axes, runs: list[RunRecord], style: Style, look: Look) -> None:
    curves = [np.array([100 * epoch.val_top1 for epoch in run.epochs]) for run in runs]
    lines = [np.column_stack([range(1, len(values) + 1), values]) for values in curves]
    axes.add_collection(LineCollection(lines, colors=style["color"], alpha=0.3, linewidths=look.line / 3))
    shortest = min(map(len, curves))
    mean = np.mean([values[:shortest] for values in curves], axis=0)
    axes.plot(range(1, shortest + 1), mean, color=style["color"], linewidth=0.7 * look.line)
    epochs = runs[0].epochs
    prunings = [i + 0.5 for i, (a, b) in enumerate(pairwise(epochs), 1) if _masks(a) != _masks(b)]
    prunings = [0.5, *prunings] if epochs and epochs[0].round else prunings
    if len(prunings) <= TICKED:
        axes.plot(
            prunings,
            [0.03] * len(prunings),
            marker="|",
            linestyle="none",
            color="0.2",
            transform=axes.get_xaxis_transform(),
            markersize=0.8 * look.marker,
        )


def _masks(epoch: Epoch) -> tuple[int, float | None]:
    """What changes when a network is pruned; some methods prune many times in one round."""
    return epoch.round, epoch.sparsity_prunable


def _lower(metric: str) -> str:
    text = heading(metric)
    return text[0].lower() + text[1:]
