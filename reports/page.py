"""The page of a report."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader

from reports.records import RunRecord
from reports.schema import printable
from reports.table import Table


@dataclass(frozen=True)
class Part:
    """What the page shows of a setting; `figures` are titles by stem."""

    name: str
    folder: str
    tables: list[Table]
    figures: dict[str, str]


def page(runs: list[RunRecord], parts: list[Part], problems: Table, source: Path | str, out: Path) -> str:
    """The page as HTML: all texts from records are escaped, links lead from `out` to the runs of a results folder."""
    links, said = "", str(source)
    if isinstance(source, Path):
        links = quote(os.fsencode(os.path.relpath((source / "runs").resolve(), out.resolve())))
        said = source.name or "DIR"
    shown = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True)
    known = [run for run in runs if run.config]
    return shown.get_template("index.html").render(
        parts=parts,
        problems=problems,
        runs=runs,
        links=links,
        source=printable(said),
        marked=any(run.marks for run in known),
        protocols=", ".join(sorted({run.rules.removeprefix("protocol ") for run in known})),
        commits=", ".join(sorted({str(run.environment.commit) for run in known})),
        hardware=", ".join(sorted({run.environment.hardware.device for run in known})),
    )
