"""Whether methods keep the same weights: how far their masks agree at equal compression."""

from __future__ import annotations

from itertools import product

import numpy as np

from benchmark.records import EQUAL
from reports.curves import Method, Setting
from reports.figures.house import Drawn, Look, in_lines, name, new_figure
from reports.figures.means import nearest, typical
from reports.masks import Packed, jaccard, masks_of


def agreement(setting: Setting, look: Look) -> Drawn | None:
    """A matrix of methods: shared kept weights, of those that either keeps; None where fewer than two have masks."""
    found = [(method, masks) for method in setting.methods.values() if (masks := _masks(setting, method))]
    if len(found) < 2:
        return None
    share = np.full((len(found), len(found)), np.nan)
    for (i, a), (j, b) in product(enumerate(masks for _, masks in found), repeat=2):
        pairs = [(s, t) for s, t in product(a, b) if (s < t if i == j else s == t)]
        if pairs:
            share[i, j] = np.mean([jaccard(a[s], b[t]) for s, t in pairs])
    labels = [f"{in_lines(m.label)} ({typical(nearest(m)):.3g}×)" for m, _ in found]
    longest = max(len(line) for label in labels for line in label.split("\n"))
    cell, text = 3.6 * look.font / 72, 0.56 * longest * look.font / 72
    width = max(cell * len(labels) + text + 1.0, min(look.width, 4.5))
    figure = new_figure(look, cell * len(labels) * 0.7 + text + 3 * look.inch, width=width)
    axes = figure.subplots()
    axes.grid(visible=False)
    image = axes.imshow(100 * share, aspect="auto", cmap="viridis", vmin=0, vmax=100)
    figure.colorbar(image, label="Agreement (%)", pad=0.02)
    for (i, j), value in np.ndenumerate(share):
        if not np.isnan(value):
            colour = "w" if value < 0.6 else "k"
            text_size = look.font - 1.5
            axes.text(j, i, f"{100 * value:.0f}", ha="center", va="center", color=colour, fontsize=text_size)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xticks(range(len(labels)), [in_lines(m.label) for m, _ in found], rotation=90)
    name(figure, setting.name, look)
    return Drawn(
        figure,
        "Agreement of masks (Jaccard: weights that both keep ÷ weights that either keeps) at the measured points "
        f"nearest to {EQUAL}× compression (their own in brackets): between methods with the same seed, on the diagonal "
        "between seeds of one method, means",
    )


def _masks(setting: Setting, method: Method) -> dict[int, Packed]:
    """The masks of each seed's point nearest to the compression at which methods are compared."""
    wanted = {point.masks_sha256 for point in nearest(method) if point.masks_sha256}
    found: dict[int, Packed] = {}
    for run, label in setting.runs:
        if label.text == method.label and run.folder is not None and run.seed not in found:
            for point in run.points:
                if point.masks_sha256 in wanted and (masks := masks_of(run.folder, point)):
                    found[run.seed] = masks
                    break
    return found
