"""A table in the forms that people and programs read: CSV, Markdown, LaTeX, HTML."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from reports.statistics import Estimate

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # how a text begins that a spreadsheet would run
LATEX = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "±": r"$\pm$",
    "≤": r"$\le$",
    "÷": r"$\div$",
    "·": r"$\cdot$",
    "α": r"$\alpha$",
    "—": "---",
    "…": r"\dots{}",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}
LETTERS = "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿ"  # beyond ASCII, in LaTeX's first fonts
NOTHING = "—"  # in a cell without a value


@dataclass(frozen=True)
class Table:
    """`numbers` has a column for each of mean, std, n and interval; `shown` is for reading.

    `best` are the cells of `shown`, by row and column, that are the best of theirs or tied with it.
    """

    name: str
    title: str
    note: str  # how to read it
    numbers: pd.DataFrame
    shown: pd.DataFrame
    best: frozenset[tuple[int, str]] = field(default=frozenset())

    def noting(self, more: Sequence[str]) -> Table:
        """The table with more in its note."""
        return replace(self, note="; ".join([self.note, *more]))

    def files(self, place: str) -> dict[str, bytes]:
        """The table in the forms that are written, by path."""
        forms = {"csv": self.csv, "md": self.markdown, "tex": self.latex}
        return {f"{place}{self.name}.{form}": text.encode() for form, text in forms.items()}

    @property
    def csv(self) -> str:
        return as_csv(self.numbers)

    @property
    def markdown(self) -> str:
        frame = self.shown.map(lambda cell: str(cell).replace("|", "\\|"))
        for row, column in self.best:
            frame.loc[row, column] = f"**{frame.loc[row, column]}**"
        return f"{self.title}\n\n{self.note}.\n\n{frame.to_markdown(index=False, disable_numparse=True)}\n"

    @property
    def latex(self) -> str:
        """A tabular with the rules of booktabs; the title and the note are comments."""
        columns = list(self.shown.columns)
        lines = [f"% {line}" for line in (self.title, f"{self.note}.", r"Needs \usepackage{booktabs}")]
        rows = [map(_latex, columns), *self._cells(_latex, r"\textbf{%s}")]
        first, *rest = [f"{_begun(' & '.join(row))} \\\\" for row in rows]
        texts = {name for name in self.numbers.columns if not is_numeric_dtype(self.numbers[name])}
        kinds = "".join("l" if name in texts or name == columns[0] else "r" for name in columns)
        begin, end = rf"\begin{{tabular}}{{{kinds}}}", r"\end{tabular}"
        return "\n".join([*lines, begin, r"\toprule", first, r"\midrule", *rest, r"\bottomrule", end, ""])

    @property
    def html(self) -> str:
        """An HTML table, its texts escaped; empty where there is no row."""
        if not len(self.shown):
            return ""
        head = "".join(f"<th>{escape(str(column))}</th>" for column in self.shown.columns)
        rows = "\n".join(
            f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for cells in self._cells(escape, "<b>%s</b>")
        )
        return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"

    def _cells(self, written: Any, bold: str) -> list[list[str]]:
        """The cells of each row, as `written` writes a text, in `bold` where they are the best."""
        columns = list(self.shown.columns)
        return [
            [bold % text if (number, column) in self.best else text
             for column, text in zip(columns, (written(str(cell)) for cell in row), strict=True)]
            for number, row in enumerate(self.shown.itertuples(index=False, name=None))
        ]  # fmt: skip


def columns_of(parts: dict[str, Estimate]) -> dict[str, float]:
    """Mean (of ratios the geometric one), std, n and the ends of the 95 % interval as columns."""
    columns: dict[str, float] = {}
    for name, e in parts.items():
        columns |= {
            f"{name}_mean": e.mean,
            f"{name}_std": e.std,
            f"{name}_n": e.n,
            f"{name}_low": e.low,
            f"{name}_high": e.high,
        }
    return columns


def interval(e: Estimate, form: str, scale: float = 1) -> str:
    """The mean, with the ends of its interval where they differ as shown."""
    if not e.n:
        return NOTHING
    mean, low, high = (form.format(scale * value) for value in (e.mean, e.low, e.high))
    return mean if e.n < 2 or mean == low == high else f"{mean} [{low}, {high}]"


def spread(e: Estimate, form: str, scale: float = 1) -> str:
    """The mean, with the sample standard deviation and the number of seeds."""
    if not e.n:
        return NOTHING
    deviation = f" ± {form.format(scale * e.std)}" if e.n > 1 else ""
    return f"{form.format(scale * e.mean)}{deviation} ({e.n})"


def as_csv(frame: pd.DataFrame) -> str:
    """The frame as CSV; a text that a spreadsheet would take for a formula begins with an apostrophe."""
    texts = [name for name in frame.columns if not is_numeric_dtype(frame[name])]
    return frame.assign(**{name: frame[name].map(_inert) for name in texts}).to_csv(index=False, lineterminator="\n")


def rows_as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """The same of rows, of which there may be many."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_inert(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return file.getvalue().encode()


def _inert(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def _begun(row: str) -> str:
    """A row that begins with nothing that the end of the one before would take for its own."""
    return f"{{}}{row}" if row.startswith(("[", "*")) else row


def _latex(text: Any) -> str:
    """The text for pdflatex; a letter that its fonts do not have as its number."""
    return "".join(LATEX.get(c) or (c if c.isascii() or c in LETTERS else f"(U+{ord(c):04X})") for c in str(text))
