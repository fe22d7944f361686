"""Tables, figures and a page from records alone; torch is never imported here."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from reports.records import RunRecord, fetch_records, read_records


@dataclass(frozen=True)
class Report:
    """Where a report lies, and its tables by setting."""

    folder: Path
    tables: dict[str, list[Any]]
    problems: Any


def build(results: Path, out: Path | None = None) -> Report:
    """Make the report of a results folder in `out` (default: `results`/report), whole or not at all.

    Raises UserError where there is nothing to report or `out` cannot be written.
    """
    return build_from(read_records(results), out or results / "report", results)


def build_from_wandb(source: str, out: Path | None = None) -> Report:
    """Make the report of the runs on W&B in ENTITY/PROJECT or ENTITY/PROJECT/SWEEP in `out` (default: report).

    Raises UserError where W&B does not answer, has nothing to report, or `out` cannot be written.
    """
    return build_from(fetch_records(source), out or Path("report"), f"--wandb {source}")


def build_from(runs: list[RunRecord], out: Path, source: Path | str) -> Report:
    """Make the report of these runs, from a results folder or W&B; the old one stays until the new one is complete."""
    from reports.curves import settings_of
    from reports.tables import accuracy_at_compression, problems, smallest_networks

    settings = settings_of(runs)
    tables = {s.name: [smallest_networks(s), accuracy_at_compression(s)] for s in settings if s.methods}
    thin = problems(runs, settings)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".report-", dir=out.parent))
    except OSError as error:
        raise UserError(
            f"cannot write the report to {out}: {error.strerror}; choose another folder with --out"
        ) from error
    try:
        _write(part, runs, settings, tables, thin, source, out)
        if out.exists():
            shutil.rmtree(out)
        part.chmod(0o755)
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Report(out, tables, thin)


def summary_text(report: Report) -> str:
    """The table of smallest networks, and where the page and the figures are."""
    lines = []
    for name, (smallest, *_) in report.tables.items():
        lines += [name, smallest.title, smallest.shown.to_string(index=False), ""]
    if len(report.problems.shown):
        lines += [report.problems.title, report.problems.shown.to_string(index=False, max_colwidth=90), ""]
    return "\n".join([*lines, f"page:    {report.folder / 'index.html'}", f"figures: {report.folder}/*/*.png, *.svg"])


def _write(
    folder: Path, runs: list[RunRecord], settings: Any, tables: Any, thin: Any, source: Path | str, out: Path
) -> None:
    from jinja2 import Environment, FileSystemLoader

    from reports.figures import draw_all

    parts = []
    methods = sorted({m for s in settings for m in s.methods})
    for setting in settings:
        if setting.name not in tables:
            continue
        place = folder / setting.name.replace(" · ", "-").replace("/", "-")
        place.mkdir()
        for table in tables[setting.name]:
            table.numbers.to_csv(place / f"{table.name}.csv", index=False)
            (place / f"{table.name}.md").write_text(f"{table.title}\n\n{table.shown.to_markdown(index=False)}\n")
        figures = [
            {"path": f"{place.name}/{stem}", "title": title}
            for stem, title in draw_all(setting, methods, place).items()
        ]
        shown = [{"title": t.title, "html": t.shown.to_html(index=False, border=0)} for t in tables[setting.name]]
        parts.append({"name": setting.name, "tables": shown, "figures": figures})
    thin.numbers.to_csv(folder / "problems.csv", index=False)
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True)
    page = environment.get_template("index.html").render(
        parts=parts,
        problems={"title": thin.title, "html": thin.shown.to_html(index=False, border=0) if len(thin.shown) else ""},
        runs=runs,
        links=Path(os.path.relpath(source / "runs", out)).as_posix() if isinstance(source, Path) else "",
        source=(source.name or "DIR") if isinstance(source, Path) else source,
        marked=any(run.marks for run in runs),
        protocols=", ".join(sorted({str(run.head.get("protocol", "?")) for run in runs})),
        commits=", ".join(sorted({str(run.environment.get("commit")) for run in runs})),
        hardware=", ".join(sorted({str(run.environment.get("hardware", {}).get("device")) for run in runs})),
    )
    (folder / "index.html").write_text(page)
