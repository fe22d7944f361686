"""Records read back as typed rows; what is damaged or unfinished is kept as a problem to be shown."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmark.errors import UserError
from benchmark.records import Record
from reports.files import Damaged, read_object, read_rows
from reports.schema import Environment, Epoch, Head, Point, Row, Status, checked, printable

FILES = {
    "config.json": Head,
    "environment.json": Environment,
    "status.json": Status,
    "epochs.jsonl": Epoch,
    "points.jsonl": Point,
}
ROWS = {"epochs.jsonl": "epochs", "points.jsonl": "points"}  # and what W&B's reader calls them
FAILED = ("failed", "diverged")  # states in which the method is to blame; the others say that somebody stopped the run
UNKNOWN = Head.model_construct(id="", protocol="?", protocol_number=None, config={})


@dataclass(frozen=True)
class RunRecord:
    """One run, as its folder holds it; `problem` says what keeps it out of the averages."""

    name: str
    head: Head
    environment: Environment = field(default_factory=Environment)
    status: Status = field(default_factory=Status)
    epochs: list[Epoch] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    problem: str = ""
    link: str = ""  # its folder below `runs`, as part of an address

    @property
    def config(self) -> dict[str, Any]:
        return self.head.config

    @property
    def method(self) -> str:
        """The method's name, with the version of its file where it is the user's own."""
        return self.head.method.label or self.config["pruner"]

    @property
    def seed(self) -> int:
        return self.config["seed"]

    @property
    def failed(self) -> bool:
        """Whether it can be read, and says that the training diverged or the method broke."""
        return self.status.state in FAILED and bool(self.config)

    @property
    def rules(self) -> str:
        """Its protocol: only runs under equal rules are compared."""
        number = "?" if self.head.protocol_number is None else self.head.protocol_number
        return f"protocol {number}" + (" paper" if self.head.protocol == "paper" else "")

    @property
    def marks(self) -> str:
        """† for the protocol that picks on the test set, ‡ for data that differ from the published files."""
        dagger = "†" if self.head.protocol == "paper" else ""
        return dagger + ("‡" if self.environment.data_verified is False else "")


def read_records(results: Path) -> list[RunRecord]:
    """All runs below `results`, by name.

    Raises UserError where the folder cannot be read or holds no run.
    """
    folder = results / "runs"
    try:
        folders = sorted(p for p in folder.iterdir() if p.is_dir())
    except OSError as error:
        raise UserError(
            f"cannot read records in {folder}: {error.strerror}; give the folder of a sweep's --results"
        ) from error
    if not folders:
        raise UserError(f"no run has begun in {results}; `prunebench sweep FILE --results {results}` makes some")
    return _each_once([_read(path) for path in folders])


def fetch_records(source: str) -> list[RunRecord]:
    """All runs of ENTITY/PROJECT or ENTITY/PROJECT/SWEEP on W&B, by name, with their whole history.

    Raises UserError where W&B does not answer, or has no run of this suite there.
    """
    from benchmark.tracking import read_runs

    runs = [_fetched(found) for found in read_runs(source)]
    if not runs:
        raise UserError(f"W&B has no run of this suite in {source}; `prunebench mirror DIR` sends those of a folder")
    return _each_once(sorted(runs, key=lambda run: run.name))


def _read(folder: Path) -> RunRecord:
    def content(file: str) -> Any:
        return read_rows(folder / file) if file in ROWS else read_object(folder / file)

    def standing() -> tuple[str, str]:
        return Record(folder).standing

    return _record(printable(folder.name), content, standing, quote(os.fsencode(folder.name)))


def _fetched(found: dict[str, Any]) -> RunRecord:
    def content(file: str) -> Any:
        return enumerate(found.get(ROWS[file], []), 1) if file in ROWS else found.get(file)

    head = found.get("config.json")
    name = head.get("name") if isinstance(head, dict) else None
    return _record(printable(str(name)), content, lambda: ("running", "says W&B"))


def _record(
    name: str,
    content: Callable[[str], Any],
    standing: Callable[[], tuple[str, str]],
    link: str = "",
) -> RunRecord:
    """A run from the content of its files; `standing` is how a run really stands that says it is running."""
    found: dict[str, Any] = {}
    damage: list[str] = []
    for file, kind in FILES.items():
        try:
            value = content(file)
            if file in ROWS:
                found[file] = [_row(kind, number, row) for number, row in value]
            elif value is not None:
                found[file] = checked(kind, value)
        except Damaged as error:
            damage.append(f"damaged: {file}: {error}")
    status = found.get("status.json", Status())
    if not damage and status.state == "running":
        with contextlib.suppress(OSError, ValueError):  # then nobody can say whether a process holds it
            status = checked(Status, dict(zip(("state", "reason"), standing(), strict=True)))
    if not damage and status.state != "done":
        damage.append(f"{status.state}: {status.reason}".rstrip(": "))
    elif not damage and "config.json" not in found:
        damage.append("damaged: config.json is missing")
    head = found.get("config.json", UNKNOWN)
    environment = found.get("environment.json", Environment())
    rows = [found.get(file, []) for file in ROWS]
    return RunRecord(name, head, environment, status, *rows, problem="; ".join(damage), link=link)


def _row(kind: type[Row], number: int, row: Any) -> Row:
    try:
        return checked(kind, row)
    except Damaged as error:
        raise Damaged(f"line {number}: {error}") from error


def _each_once(runs: list[RunRecord]) -> list[RunRecord]:
    """The runs, where copies of one, which have its identity, are problems: the finished one counts, else the first."""
    by_id: dict[str, RunRecord] = {}
    for run in sorted(runs, key=lambda run: bool(run.problem)):
        by_id.setdefault(run.head.id or run.name, run)
    found = []
    for run in runs:
        first = by_id[run.head.id or run.name]
        copy = f"the same run as {first.name}, which is counted once"
        problem = "; ".join(filter(None, [run.problem, copy]))
        found.append(run if run is first else replace(run, problem=problem, head=UNKNOWN))
    return found
