"""Records read back as typed rows; what is damaged or unfinished is kept as a problem to be shown."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmark.errors import UserError
from benchmark.records import Record
from reports.files import Damaged, read_object, read_rows
from reports.reference import packed_runs
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
UNKNOWN = Head.model_construct(id="", protocol="?", protocol_number=None, belongs={}, config={})
MARKS = {  # behind a method's name, and what they say
    "†": "†: picked the best epoch on test data, to reproduce only",
    "‡": "‡: data files that are not the published ones",
}
ON_WANDB = "wandb:"  # how a source begins that is no folder
SHIPPED = "reference"  # the source that comes with this package


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
    source: str = ""  # the results folder that it is from, or what on W&B
    folder: Path | None = None
    copy_of: str = ""  # the source of the run that is counted in its place, for it is the same

    @property
    def config(self) -> dict[str, Any]:
        return self.head.config

    @property
    def method(self) -> str:
        """The method's name, with the version of its file where it is the user's own."""
        return self.head.method.label or self.config.get("pruner", "")

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


def read_sources(*sources: str | Path) -> list[RunRecord]:
    """All runs of results folders, "wandb:ENTITY/PROJECT[/SWEEP]" and "reference", by name.

    Each identity counts once; that of a reference run only where no other source has it.

    Raises UserError where a source cannot be read or holds no run.
    """
    texts = {str(source): source for source in sources}  # a source given twice is read once
    found = [run for text, source in texts.items() if text != SHIPPED for run in _runs_of(source)]
    if SHIPPED in texts:
        known = {run.head.id for run in found}
        found += [run for run in _unpacked(packed_runs(), SHIPPED) if run.head.id not in known]
    return sorted(_each_once(found), key=lambda run: run.name)


def read_run(folder: Path) -> RunRecord:
    """The run in a folder, RESULTS/runs/NAME; what is wrong with it is its problem."""
    return _read(folder, printable(str(folder.parent.parent)))


def _runs_of(source: str | Path) -> list[RunRecord]:
    if isinstance(source, str) and source.startswith(ON_WANDB):
        return _fetched_runs(source.removeprefix(ON_WANDB))
    return [_read(path, printable(str(source))) for path in _run_folders(Path(source))]


def _run_folders(results: Path) -> list[Path]:
    try:
        names = {path.name for path in results.iterdir()}
        if "runs" not in names and "config.json" in names:
            raise UserError(f"{results} is one run; give the results folder that it lies in, {results.parent.parent}")
        found = sorted(p for p in (results / "runs").iterdir() if p.is_dir()) if "runs" in names else []
    except OSError as error:
        raise UserError(f"cannot read {results}: {error.strerror}; give the folder of a sweep's --results") from error
    if not found:
        raise UserError(
            f"no run has begun in {results}; give the folder of a sweep's --results, or make runs there: "
            f"prunebench sweep digits --results {results}"
        )
    return found


def _fetched_runs(source: str) -> list[RunRecord]:
    from benchmark.tracking import read_runs

    runs = _unpacked(read_runs(source), f"{ON_WANDB}{printable(source)}")
    if not runs:
        raise UserError(f"W&B has no run of this suite in {source}; `prunebench mirror DIR` sends those of a folder")
    return runs


def _read(folder: Path, source: str) -> RunRecord:
    def content(file: str) -> Any:
        return read_rows(folder / file) if file in ROWS else read_object(folder / file)

    def standing() -> tuple[str, str]:
        return Record(folder).standing

    read = _record(printable(folder.name), content, standing)
    return replace(read, link=quote(os.fsencode(folder.name)), source=source, folder=folder)


def _unpacked(found: Iterable[dict[str, Any]], source: str) -> list[RunRecord]:
    return [_fetched(run, source) for run in found]


def _fetched(found: dict[str, Any], source: str) -> RunRecord:
    def content(file: str) -> Any:
        return enumerate(found.get(ROWS[file], []), 1) if file in ROWS else found.get(file)

    head = found.get("config.json")
    name = head.get("name") if isinstance(head, dict) else None
    return replace(_record(printable(str(name)), content, lambda: ("running", "says W&B")), source=source)


def _record(name: str, content: Callable[[str], Any], standing: Callable[[], tuple[str, str]]) -> RunRecord:
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
    for file, (count, _) in status.rows.items() if status.state == "done" else ():
        if file in ROWS and file in found and len(found[file]) != count:
            damage.append(f"damaged: {file}: {count} rows were written, {len(found[file])} are there")
    if not damage and status.state != "done":
        damage.append(f"{status.state}: {status.reason}".rstrip(": "))
    elif not damage and "config.json" not in found:
        damage.append("damaged: config.json is missing")
    head = found.get("config.json", UNKNOWN)
    environment = found.get("environment.json", Environment())
    rows = [found.get(file, []) for file in ROWS]
    return RunRecord(name, head, environment, status, *rows, problem="; ".join(damage))


def _row(kind: type[Row], number: int, row: Any) -> Row:
    try:
        return checked(kind, row)
    except Damaged as error:
        raise Damaged(f"line {number}: {error}") from error


def _each_once(runs: list[RunRecord]) -> list[RunRecord]:
    """The runs, where copies of one, which have its identity, are problems: the finished one counts, else the first."""
    by_id: dict[str, RunRecord] = {}
    for run in sorted(runs, key=lambda run: bool(run.problem)):
        by_id.setdefault(run.head.id or f"{run.source} {run.name}", run)
    return [_copy(run, by_id[run.head.id or f"{run.source} {run.name}"]) for run in runs]


def _copy(run: RunRecord, counted: RunRecord) -> RunRecord:
    """The run, as a problem where another of its identity is counted."""
    if run is counted:
        return run
    where = counted.name if counted.source == run.source else f"{counted.name} in {counted.source}"
    differing = not run.problem and not counted.problem and _found(run) != _found(counted)
    said = f"has the identity of {where} and other numbers" if differing else f"the same run as {where}"
    problem = "; ".join(filter(None, [run.problem, f"{said}, which is counted once"]))
    return replace(run, problem=problem, head=UNKNOWN, copy_of="" if differing or run.problem else counted.source)


def _found(run: RunRecord) -> list[tuple[Any, ...]]:
    """What a run found, without what it took."""
    return [(p.round, p.stage, p.top1, p.val_top1, p.compression_params, p.weights_sha256) for p in run.points]
