"""The page of one run: how to repeat it, its curve, its points, and all that its record says of how it was made."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Any

from markupsafe import Markup

from benchmark.records import METRICS
from reports.naming import short_digest
from reports.records import RunRecord
from reports.schema import Point
from reports.table import NOTHING

COLUMNS = (
    *("round", "stage", "top1", "val_top1", "sparsity_prunable", "compression_params", "speedup_theoretical"),
    *("speedup_structural", "epochs_total", "train_flops", "prune_flops", "train_seconds", "prune_seconds"),
    "collapsed",
)
POINTS, EPOCHS = 1_000, 5_000  # of a run that its page shows at most
UNITS = [METRICS[name].unit if name in METRICS else "" for name in COLUMNS]
_values_of = attrgetter(*COLUMNS)


def page_names(runs: Sequence[RunRecord]) -> list[str]:
    """The file of each run's page: its name where that is plain, else made so; none has that of another."""
    taken: set[str] = set()
    names = []
    for run in runs:
        name = run.name
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.=-]{0,150}", name):
            name = f"{re.sub(r'[^A-Za-z0-9_=-]+', '-', name)[:80].strip('-')}-{short_digest(name)}"
        first, number = name, 1
        while name.lower() in taken:  # copies, and file systems that know no capitals
            number += 1
            name = f"{first}-{number}"
        taken.add(name.lower())
        names.append(f"{name}.html")
    return names


def run_page(run: RunRecord) -> dict[str, Any]:
    """What the template of a run shows."""
    environment, status = run.environment, run.status
    made = {
        "commit": environment.commit,
        **{f"version of {name}": version for name, version in sorted(environment.versions.items())},
        **{name: value for name, value in environment.hardware.model_dump().items() if value not in ("", None)},
        "data files are the published ones": environment.data_verified,
        "began": status.started,
        "ended": status.finished,
        "protocol": run.rules.removeprefix("protocol "),
        "identity": run.head.id,
    }
    groups = {
        "Options of the method and its retraining": run.head.options("run"),
        "Options of the dense training too": run.head.options("dense"),
        "Options of the place": run.head.options("place"),
        "Made with": {name: value for name, value in made.items() if value not in ("", None)},
    }
    of_points, of_epochs = (-(-len(rows) // most) or 1 for rows, most in ((run.points, POINTS), (run.epochs, EPOCHS)))
    points = run.points[::of_points]
    return {
        "state": "; ".join(filter(None, [status.state, run.problem])),
        "command": command(run),
        "columns": [METRICS[name].label if name in METRICS else name for name in COLUMNS],
        "points": [_row(point) for point in points],
        "left_out": [
            f"1 of {every} {what}" for what, every in (("points", of_points), ("epochs", of_epochs)) if every > 1
        ],
        "about": [(title, [(k, _shown(v)) for k, v in rows.items()]) for title, rows in groups.items() if rows],
        "data": {
            "epoch": [*range(1, len(run.epochs) + 1, of_epochs)],
            "val_top1": [round(epoch.val_top1, 5) for epoch in run.epochs[::of_epochs]],
            "prunings": [i + 0.5 for i, (a, b) in enumerate(pairwise(run.epochs), 1) if a.round != b.round],
        },
    }


def command(run: RunRecord) -> str:
    """The command that makes the same run, with every option that is not of the place; empty where none is known."""
    own = {k: v for k, v in run.head.options("place").items() if k.startswith("pruner.")}  # such as a control's run
    options = run.head.options("dense") | run.head.options("run") | own
    options.pop("pruner.of_method", None)  # which the run itself finds out
    words = [
        f"--{name}={_written(value)}"
        for name, value in options.items()
        if value is not None and not name.endswith("_digest")
    ]
    return shlex.join(["prunebench", "run", *words]) if words else ""


def _written(value: Any) -> str:
    """An option's value as it is written on a command line."""
    return value if isinstance(value, str) else json.dumps(value)


def _shown(value: Any) -> str:
    return NOTHING if value is None else str(value)


def _row(point: Point) -> Markup:
    """The cells of a point, of which a report may have a million: numbers and the schema's words, nothing to escape."""
    cells = [_cell(value, unit) for value, unit in zip(_values_of(point), UNITS, strict=True)]
    return Markup(f"<td>{'</td><td>'.join(cells)}</td>")


def _cell(value: Any, unit: str) -> str:
    if value is None:
        return NOTHING
    if unit == "share":
        return f"{100 * value:.2f} %"
    if isinstance(value, bool | str | int):
        return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
    return f"{value:.3g}{unit if unit == '×' else ''}"
