"""The figures: deterministic; whatever a record calls its things is shown as it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from reports.curves import Setting
from reports.differences import Ranked
from reports.figures.accuracy import accuracy, pareto
from reports.figures.across import critical_differences, multiples
from reports.figures.agreement import agreement
from reports.figures.cost import cost
from reports.figures.house import LOOKS, Drawn, Look, looking
from reports.figures.layers import densities, firing
from reports.figures.means import COMPRESSION, alike, heading
from reports.figures.ratios import speedups, targets
from reports.figures.training import retraining, training
from reports.press import Press
from reports.styles import Style
from reports.tables import measured_speedups

PAPER = "paper"


@dataclass(frozen=True)
class Figures:
    """The figures of a setting: titles by stem, what gives the files by name, and what is left out and why."""

    titles: dict[str, str] = field(default_factory=dict)
    files: dict[str, Callable[[], bytes]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def add(self, stem: str, drawn: Drawn | None, press: Press) -> None:
        if drawn is not None:
            self.titles[stem] = drawn.title
            self.files.update({f"{stem}.{form}": file for form, file in press.printed(drawn.figure).items()})


def draw_all(
    setting: Setting,
    styles: Mapping[str, Style],
    look: str = PAPER,
    only: Collection[str] | None = None,
    press: Press | None = None,
) -> Figures:
    """The figures of a setting as SVG, PDF and PNG, for a `look` of LOOKS; one that would equal another is left out.

    `only` names the stems of those to draw. Those that a `press` makes are to be asked for before it is left.
    """
    found, press = Figures(), press or Press()
    with looking(LOOKS[look]):
        for stem, draw in _figures(setting, styles, LOOKS[look], found.left_out):
            if only is None or stem in only:
                found.add(stem, draw(), press)
    return found


def draw_across(
    settings: Sequence[Setting],
    rankings: Sequence[Ranked],
    styles: Mapping[str, Style],
    look: str = PAPER,
    press: Press | None = None,
) -> Figures:
    """The figures over several settings; none of a single one."""
    found, press = Figures(), press or Press()
    with looking(LOOKS[look]):
        found.add("accuracy_by_setting", multiples(settings, LOOKS[look], styles), press)
        found.add("critical_difference", critical_differences(rankings, LOOKS[look]), press)
    return found


def _figures(
    setting: Setting, styles: Mapping[str, Style], look: Look, left_out: list[str]
) -> Iterator[tuple[str, Callable[[], Drawn | None]]]:
    """The stem of each figure, and what draws it, or finds that there is nothing to draw."""
    shown = []
    for x in (COMPRESSION, "speedup_theoretical", "speedup_structural", *measured_speedups(setting)):
        if same := next((other for other in shown if alike(setting, x, other)), None):
            left_out.append(f"accuracy_{x}: within 10 % everywhere it is accuracy_{same} ({heading(same)})")
        else:
            shown.append(x)
            yield f"accuracy_{x}", partial(accuracy, setting, x, look, styles)
    yield "pareto", partial(pareto, setting, look, styles)
    yield "accuracy_cost", partial(cost, setting, look, styles)
    yield "retraining", partial(retraining, setting, look, styles)
    yield "training", partial(training, setting, look, styles)
    yield "layer_density", partial(densities, setting, look)
    yield "firing", partial(firing, setting, look, styles)
    yield "speedups", partial(speedups, setting, look)
    yield "targets", partial(targets, setting, look, styles)
    yield "agreement", partial(agreement, setting, look)
