"""How a figure looks: sizes as printed, legends, axes of ratios."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from reports.styles import Style

DENSE: Style = {"color": "0.3", "linestyle": "--", "marker": "", "linewidth": 1.0}
ASIDE = 1.006  # how far marks of one method stand from those of the next on an axis of ratios
DEEPEST = 22.0  # inches
WIDEST = 40.0
LONGEST = 40  # characters of a line in a legend


@dataclass(frozen=True)
class Look:
    """Where a figure goes: its width in inches and its letters in points, as printed there."""

    width: float
    font: float
    dpi: int
    wide: float = 0.0  # of figures with many panels; of a page with two columns, both

    @property
    def widest(self) -> float:
        return max(self.width, self.wide)

    @property
    def line(self) -> float:
        """The width of a line."""
        return self.font / 6.5

    @property
    def marker(self) -> float:
        return self.font / 2

    @property
    def inch(self) -> float:
        """The height of a line of text, in inches."""
        return 1.35 * self.font / 72


LOOKS = {
    "paper": Look(width=5.5, font=8, dpi=220),  # the text of a page with one column, as NeurIPS, ICLR, TMLR
    "paper-2col": Look(width=3.3, font=7, dpi=300, wide=6.9),  # a column of ICML, CVPR, IEEE
    "slides": Look(width=10.0, font=15, dpi=130),
}


@dataclass(frozen=True)
class Drawn:
    """A figure and what it shows, in words."""

    figure: Figure
    title: str


@contextmanager
def looking(look: Look) -> Iterator[None]:
    """Within, matplotlib draws for `look`."""
    small = look.font - 1
    settings: dict[Any, Any] = {
        "font.size": look.font,
        "axes.titlesize": look.font,
        "axes.labelsize": look.font,
        "xtick.labelsize": small,
        "ytick.labelsize": small,
        "legend.fontsize": small,
        "figure.titlesize": look.font,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "grid.linewidth": look.font / 16,
        "axes.linewidth": look.font / 12,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "lines.linewidth": look.line,
        "lines.markersize": look.marker,
        "legend.frameon": False,
        "legend.handlelength": 2.2,
        "legend.columnspacing": 1.2,
        "savefig.dpi": look.dpi,
        "svg.hashsalt": "nnrelief-bench",
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
        "text.parse_math": False,
    }
    with mpl.rc_context(settings):
        yield


def new_figure(look: Look, height: float, lines: int = 0, *, width: float = 0.0) -> Figure:
    """An empty figure: panels `height` inches high, with room for `lines` of a legend below."""
    size = (min(width or look.width, WIDEST), min(height + lines * look.inch, DEEPEST))
    return Figure(figsize=size, layout="constrained")


@dataclass(frozen=True)
class Legend:
    """The methods below the panels, in as many columns as the figure is wide."""

    look: Look
    entries: Mapping[str, Style]  # by label
    width: float

    @property
    def columns(self) -> int:
        # a letter is about 0.56 of its size wide; the line before the text and the space after it take four
        longest = max((len(line) for label in self.entries for line in in_lines(label).split("\n")), default=0)
        return max(1, math.floor(72 * self.width / ((0.56 * longest + 4.2) * (self.look.font - 1))))

    @property
    def lines(self) -> int:
        """How many lines it takes."""
        texts = [in_lines(label).count("\n") + 1 for label in self.entries]
        return sum(max(texts[i : i + self.columns]) for i in range(0, len(texts), self.columns))

    def draw(self, figure: Figure) -> None:
        if not self.entries:
            return
        handles = [Line2D([], [], **style) for style in self.entries.values()]
        order = _by_rows(list(zip(handles, map(in_lines, self.entries), strict=True)), self.columns)
        figure.legend(*zip(*order, strict=True), loc="outside lower center", ncols=self.columns)


def _by_rows(entries: list[Any], columns: int) -> list[Any]:
    """The entries in the order that lets matplotlib, which fills columns, show them by rows."""
    return [entry for column in range(min(columns, len(entries))) for entry in entries[column::columns]]


def name(figure: Figure, setting: str, look: Look, note: str = "") -> None:
    """Say above the panels which setting they show, and what a reader could miss."""
    width = round(figure.get_figwidth() * 72 / (0.53 * look.font))
    text = "\n".join(wrapped(line, width) for line in (setting, note) if line)
    figure.suptitle(text, x=0.01, ha="left", color="0.35", fontsize=look.font - 1)


def aside(number: int, count: int) -> float:
    """By what to multiply the places of one of several methods, so that marks at one place can be told apart."""
    return ASIDE ** (number - (count - 1) / 2)


def ratios(axes: Axes, which: str = "x") -> None:
    """Show ratios on an axis: logarithmic, doubling from tick to tick."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log", base=2)
    low, high = sorted(axes.get_xlim() if which == "x" else axes.get_ylim())
    doublings = math.log2(max(high / low, 1.01)) if low > 0 else 10
    axis.set_major_locator(LogLocator(base=2 if doublings < 8 else 4, numticks=40))
    if doublings < 1.5:  # not one power of two may lie within
        axis.set_major_locator(MaxNLocator(4))
    axis.set_major_formatter("{x:.4g}×")
    axis.set_minor_locator(NullLocator())


def in_lines(label: str) -> str:
    """A method's label in lines; matplotlib leaves out those that begin with an underscore."""
    return wrapped(f" {label}" if label.startswith("_") else label, LONGEST)


def wrapped(text: str, width: int) -> str:
    lines = textwrap.wrap(text, max(width, 10), drop_whitespace=False) or [text]
    return "\n".join([*lines[:4], "…"] if len(lines) > 4 else lines)


def cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def name_layers(axes: Axes, names: list[str]) -> None:
    """The layers' names below the axis, of many only some."""
    every = 1 + len(names) // 150
    ticks = range(0, len(names), every)
    longest = max((len(n) for n in names), default=0)
    turned = 0 if len(names) * (longest + 1) < 30 else 90
    axes.set_xticks(ticks, [cut(names[i], 30) for i in ticks], rotation=turned)


def grid_of(count: int, look: Look, each: float) -> tuple[int, int]:
    """Rows and columns of `count` panels, each about `each` inches wide."""
    columns = max(1, min(count, round(look.widest / each)))
    return math.ceil(count / columns), columns


def spare(panels: Iterable[Axes]) -> None:
    """Take away the panels of a grid that nothing is drawn in."""
    for axes in panels:
        axes.remove()
