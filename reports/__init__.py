"""Tables, figures and a page from records alone; torch is never imported here."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.folder import checked_place, write_report
from reports.records import RunRecord, fetch_records, read_records


@dataclass(frozen=True)
class Report:
    """Where a report lies, and its tables by setting."""

    folder: Path
    tables: dict[str, list[Any]]
    problems: Any


def build(results: Path, out: Path | None = None) -> Report:
    """Make the report of a results folder in `out` (default: `results`/report), whole or not at all.

    Raises UserError where there is nothing to report, or `out` cannot be written or is no place for a report.
    """
    out = results / "report" if out is None else out
    checked_place(out, results)
    return _build(read_records(results), out, results)


def build_from_wandb(source: str, out: Path | None = None) -> Report:
    """Make the report of the runs on W&B in ENTITY/PROJECT or ENTITY/PROJECT/SWEEP in `out` (default: report).

    Raises UserError where W&B does not answer or has nothing to report, or as `build` does.
    """
    out = Path("report") if out is None else out
    checked_place(out, None)
    return _build(fetch_records(source), out, f"--wandb {source}")


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


def _build(runs: list[RunRecord], out: Path, source: Path | str) -> Report:
    """Make the report of these runs, from a results folder or W&B: all of it in memory, then written in one go."""
    from reports.curves import settings_of
    from reports.figures import draw_all
    from reports.naming import folder_name
    from reports.page import Part, page
    from reports.problems import problems
    from reports.styles import styles_of
    from reports.tables import accuracy_at_compression, smallest_networks

    settings = settings_of(runs)
    tables = {s.name: [smallest_networks(s), accuracy_at_compression(s)] for s in settings if s.methods}
    styles = styles_of(method for setting in settings for method in setting.methods.values())
    files: dict[str, bytes] = {}
    parts = []
    for setting in settings:
        if setting.methods:
            place = folder_name(setting.name)
            titles, figures = draw_all(setting, styles)
            files |= {f"{place}/{name}": content for name, content in figures.items()}
            for table in tables[setting.name]:
                files[f"{place}/{table.name}.csv"] = table.csv.encode()
                files[f"{place}/{table.name}.md"] = table.markdown.encode()
            parts.append(Part(setting.name, place, tables[setting.name], titles))
    listed = problems(runs, settings)
    files["problems.csv"] = listed.csv.encode()
    files["index.html"] = page(runs, parts, listed, source, out).encode()
    write_report(out, files, source if isinstance(source, Path) else None)
    return Report(out, tables, listed)
