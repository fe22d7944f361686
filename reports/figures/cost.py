"""Who pays for its accuracy: accuracy against the whole training, at equal compression."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from reports.curves import Method, Setting
from reports.figures.house import DENSE, Drawn, Legend, Look, aside, name, new_figure, ratios
from reports.figures.means import all_at
from reports.schema import Point
from reports.statistics import Estimate, estimate, ratio_estimate
from reports.styles import Style
from reports.tables import AT


def cost(setting: Setting, look: Look, styles: Mapping[str, Style]) -> Drawn | None:
    """Test accuracy against training epochs in multiples of dense training, a panel for each compression."""
    panels_of = {ratio: reached(setting, ratio) for ratio in AT}
    if not any(panels_of.values()):
        return None
    shown = {method.label: styles[method.plain] for method in setting.methods.values()}
    longer_style = {**DENSE, "marker": "o"}
    longer = {"dense, trained longer": longer_style} if setting.dense else {}
    legend = Legend(look, {**longer, **shown}, look.widest)
    figure = new_figure(look, 0.45 * look.widest, legend.lines, width=look.widest)
    panels = figure.subplots(1, len(AT), sharey=True, sharex=True, squeeze=False)[0]
    for axes, (ratio, found) in zip(panels, panels_of.items(), strict=True):
        axes.plot(*np.array([(x, 100 * y) for x, y in dense_by_budget(setting)]).reshape(-1, 2).T, **longer_style)
        for number, (label, (budget, top1)) in enumerate(found.items()):
            place = budget.mean * aside(2 * number, 2 * len(found))
            style = {**shown[label], "linestyle": "none", "elinewidth": look.line / 2}
            axes.errorbar([place], [100 * top1.mean], _reach(top1, 100), _reach(budget), **style)
        axes.set(title=f"at {ratio}× compression", xlabel="Training, × dense (epochs)")
        ratios(axes)
    panels[0].set_ylabel("Test top-1 accuracy (%)")
    lowest = min(100 * top1.mean for found in panels_of.values() for _, top1 in found.values())
    panels[0].set_ylim(bottom=max(panels[0].get_ylim()[0], lowest - 3))
    missing = [f"{ratio}×: {', '.join(sorted(shown.keys() - found.keys()))}" for ratio, found in panels_of.items()]
    said = [f"not reached by every seed at {text}" for text in missing if not text.endswith(" ")]
    name(figure, setting.name, look, "; ".join(said))
    legend.draw(figure)
    return Drawn(
        figure,
        "Test top-1 accuracy at 8× and 16× compression of parameters, interpolated between each seed's own points, "
        "against all training until there in multiples of dense training; bars: 95 % t-intervals over seeds; dashed: "
        "the dense network, and trained longer",
    )


def reached(setting: Setting, ratio: float) -> dict[str, tuple[Estimate, Estimate]]:
    """Budget and accuracy of the methods of which every seed reaches a compression."""
    found = {}
    for method in setting.methods.values():
        budgets, top1 = _budgets(setting, method, ratio), all_at(setting, method, lambda p: p.top1, ratio)
        if budgets and top1:
            found[method.label] = ratio_estimate(budgets, lowest=0), estimate(top1, 0, 1)
    return found


def _budgets(setting: Setting, method: Method, ratio: float) -> list[float]:
    """The training of each seed until a compression, in multiples of its dense training."""
    epochs = {seed: setting.dense[seed].epochs_total for seed in method.seeds if seed in setting.dense}
    if len(epochs) < len(method.seeds) or not all(epochs.values()):
        return []

    def spent(point: Point) -> float:
        return point.epochs_total

    found = all_at(setting, method, spent, ratio)
    return [v / e for v, e in zip(found, epochs.values(), strict=True)] if found and all(v > 0 for v in found) else []


def dense_by_budget(setting: Setting) -> list[tuple[float, float]]:
    """The dense network's test accuracy by how long it was trained, in multiples of dense training."""
    trained = [(estimate([p.epochs_total for p in setting.dense.values()]), setting.dense)] if setting.dense else []
    base = trained[0][0].mean if trained else 0
    trained += [(estimate([epochs]), points) for epochs, points in sorted(setting.longer.items())]
    return [(e.mean / base, estimate([p.top1 for p in points.values()]).mean) for e, points in trained if base]


def _reach(e: Estimate, scale: float = 1) -> list[list[float]] | None:
    """The interval as distances from the mean."""
    return [[scale * (e.mean - e.low)], [scale * (e.high - e.mean)]] if e.n > 1 else None
