"""Tables, figures and a page from records alone; torch is never imported here."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.folder import checked_place, write_report
from reports.frames import Results
from reports.records import ON_WANDB, read_sources


@dataclass(frozen=True)
class Report:
    """Where a report lies, and its tables by setting."""

    folder: Path
    tables: dict[str, list[Any]]
    problems: Any


def load(*sources: str | Path) -> Results:
    """The records of results folders and of "wandb:ENTITY/PROJECT[/SWEEP]", as tables of pandas.

    `load(DIR).points` has a row for each measured point; `.columns` says what each column is.

    Raises UserError where a source cannot be read or holds no run.
    """
    return Results(read_sources(*sources))


def build(*sources: str | Path, out: Path | None = None) -> Report:
    """Make the report of what `load` reads in `out`, whole or not at all.

    The default is the folder `report`, in the results folder if there is one source and it is such a folder.

    Raises UserError as `load` does, and where `out` cannot be written or is no place for a report.
    """
    folders = [Path(source) for source in sources if not str(source).startswith(ON_WANDB)]
    alone = len(sources) == len(folders) == 1
    out = out or (folders[0] / "report" if alone else Path("report"))
    checked_place(out, *folders)
    results = load(*sources)
    report, files = _made(results, out, folders[0] if alone else " ".join(map(str, sources)))
    write_report(out, files, *folders)
    return report


def summary_text(report: Report) -> str:
    """The table of smallest networks, and where the page and the figures are."""
    lines, note = [], ""
    for name, (smallest, *_) in report.tables.items():
        lines += [name, smallest.title, smallest.shown.to_string(index=False), ""]
        note = smallest.note
    if note:
        lines += textwrap.wrap(f"{note}.", 110)
        lines.append("")
    if len(report.problems.shown):
        lines += [report.problems.title, report.problems.shown.to_string(index=False, max_colwidth=90), ""]
    return "\n".join([*lines, f"page:    {report.folder / 'index.html'}", f"figures: {report.folder}/*/*.png, *.svg"])


def _made(results: Results, out: Path, source: Path | str) -> tuple[Report, dict[str, bytes]]:
    """The report, and its files by their path in it."""
    from reports.figures import draw_all
    from reports.naming import folder_name
    from reports.page import Part, page
    from reports.problems import problems
    from reports.styles import styles_of
    from reports.tables import accuracy_at_compression, smallest_networks

    settings = results.settings
    tables = {s.name: [smallest_networks(s), accuracy_at_compression(s)] for s in settings if s.methods}
    styles = styles_of(method for setting in settings for method in setting.methods.values())
    files: dict[str, bytes] = {}
    parts = []
    for setting in settings:
        if setting.methods:
            place = folder_name(setting.name)
            figures = draw_all(setting, styles)
            files |= {f"{place}/{name}": content for name, content in figures.files.items()}
            for table in tables[setting.name]:
                files[f"{place}/{table.name}.csv"] = table.csv.encode()
                files[f"{place}/{table.name}.md"] = table.markdown.encode()
            parts.append(Part(setting.name, place, tables[setting.name], figures.titles))
    listed = problems(results.records, settings)
    files["problems.csv"] = listed.csv.encode()
    files["index.html"] = page(results.records, parts, listed, source, out).encode()
    return Report(out, tables, listed), files
