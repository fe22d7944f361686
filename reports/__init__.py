"""Tables, figures and a page from records alone; torch is never imported here."""

from __future__ import annotations

import gc
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from benchmark.records import cores
from reports.curves import Setting
from reports.folder import Content, checked_place, write_report
from reports.frames import Results
from reports.press import Press
from reports.records import MARKS, ON_WANDB, SHIPPED, read_sources
from reports.table import Table, rows_as_csv

# Columns of the smallest networks that a terminal has no room for.
IN_FILES_ONLY = ["compression (weights)", "speed-up, theoretical", "validation drop, points"]
PROCESSES = 2  # that draw, at most: they keep up with what makes the figures
Style = Literal["paper", "paper-2col", "slides"]


@dataclass(frozen=True)
class Report:
    """Where a report lies, and its tables by setting."""

    folder: Path
    tables: dict[str, list[Table]]
    across: list[Table]  # over several settings
    problems: Table


def load(*sources: str | Path) -> Results:
    """The records of results folders, of "wandb:ENTITY/PROJECT[/SWEEP]" and of "reference", as tables of pandas.

    `load(DIR).points` has a row for each measured point; `.columns` says what each column is.

    Raises UserError where a source cannot be read or holds no run.
    """
    return Results(read_sources(*sources))


def build(
    *sources: str | Path,
    out: Path | None = None,
    reference: str | None = None,
    only: Sequence[str] = (),
    style: Style = "paper",
) -> Report:
    """Make the report of what `load` reads in `out`, whole or not at all.

    The default is the folder `report`, in the results folder if there is one source and it is such a folder. Methods
    are compared with `reference`, else with the best; `only` names those that are shown; figures have the size and
    the letters of `style`.

    Raises UserError as `load` does, for a method that is not there, and where `out` cannot be written or is no place
    for a report.
    """
    folders = [Path(s) for s in sources if str(s) != SHIPPED and not str(s).startswith(ON_WANDB)]
    alone = len(sources) == len(folders) == 1
    out = out or (folders[0] / "report" if alone else Path("report"))
    checked_place(out, *folders)
    with Press(min(cores(), PROCESSES)) as press:
        with _kept_from_the_collector():
            results = load(*sources)
            results = results.only(*only) if only else results
        try:
            report, files = _made(results, reference, style, out, folders[0] if alone else _words(sources), press)
            write_report(out, files, *folders)
        finally:
            gc.unfreeze()
    return report


@contextmanager
def _kept_from_the_collector() -> Iterator[None]:
    """What is made within holds no cycles and stays: to search it again and again took a sixth of a large report."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_on:
            gc.enable()


def _words(sources: Sequence[str | Path]) -> str:
    """The sources as the command line has them."""
    flags = {SHIPPED: f"--with {SHIPPED}"}
    texts = [str(source) for source in sources]
    return " ".join(
        flags.get(t) or (f"--wandb {t.removeprefix(ON_WANDB)}" if t.startswith(ON_WANDB) else t) for t in texts
    )


def summary_text(report: Report) -> str:
    """The table of smallest networks, and where the page and the figures are."""
    lines, note = [], ""
    for name, (smallest, *_) in report.tables.items():
        shown = smallest.shown.drop(columns=IN_FILES_ONLY).rename(
            columns=lambda head: head.removesuffix(" (parameters)")
        )
        lines += [name, smallest.title, shown.to_string(index=False), ""]
        note = smallest.note
    if note:
        lines += textwrap.wrap(f"{note}.", 110)
        lines.append("")
    for table in report.across:
        lines += [table.title, table.shown.to_string(index=False), ""]
    if len(report.problems.shown):
        lines += [report.problems.title, report.problems.shown.to_string(index=False, max_colwidth=90), ""]
    return "\n".join([*lines, f"page:    {report.folder / 'index.html'}", f"figures: {report.folder}/*/*.png, *.svg"])


def tables_of(setting: Setting, reference: str | None = None) -> list[Table]:
    """All tables of a setting."""
    from reports.differences import paired_differences
    from reports.published import published
    from reports.tables import accuracy_at, accuracy_at_cost, costs, measured_speedups, smallest_networks

    at = [accuracy_at(setting, x) for x in ("compression_params", "speedup_theoretical", *measured_speedups(setting))]
    more = [accuracy_at_cost(setting), costs(setting), paired_differences(setting, reference), published(setting)]
    tables = [smallest_networks(setting), *at, *(table for table in more if table is not None)]
    marks = {mark for run, _ in setting.runs for mark in run.marks}
    return [table.noting([text for mark, text in MARKS.items() if mark in marks]) for table in tables]


def _made(
    results: Results, reference: str | None, look: str, out: Path, source: Path | str, press: Press
) -> tuple[Report, dict[str, Content]]:
    """The report, and its files by their path in it."""
    from reports.differences import check_reference, rankings, ranks, wins
    from reports.figures import draw_across, draw_all
    from reports.naming import folder_name
    from reports.page import Pages, Part
    from reports.problems import problems
    from reports.styles import styles_of

    settings = [setting for setting in results.settings if setting.methods]
    check_reference(settings, reference)
    tables = {setting.name: tables_of(setting, reference) for setting in settings}
    styles = styles_of(method for setting in settings for method in setting.methods.values())
    listed = problems(results.records, results.settings)
    ranked = rankings(settings)
    across = [table for table in (ranks(ranked), wins(settings, reference), listed) if table is not None]
    files: dict[str, Content] = {"points.csv": partial(_points, results)}
    for table in across:
        files |= table.files("")
    over = draw_across(settings, ranked, styles, look, press)
    figures: dict[str, Content] = {**over.files}
    parts = []
    for setting in settings:
        place = folder_name(setting.name)
        drawn = draw_all(setting, styles, look, press=press)
        figures |= {f"{place}/{name}": content for name, content in drawn.files.items()}
        for table in tables[setting.name]:
            files |= table.files(f"{place}/")
        parts.append(Part(setting, place, tables[setting.name], drawn, styles))
    pages = Pages(results.records, files | figures, source, out).made(parts, across[:-1], over, listed)
    return Report(out, tables, across[:-1], listed), {**files, **pages, **figures}  # as they are written: figures last


def _points(results: Results) -> bytes:
    """The measured points, without the lists of layers, as CSV."""
    return rows_as_csv(results.point_columns[:-2], (row[:-2] for row in results.point_rows()))
