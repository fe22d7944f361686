"""What can go from a results folder, for no run needs it any more."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UserError
from benchmark.records import Damaged, Record, read_json

CHECKPOINTS = ("checkpoint.pt", "previous-checkpoint.pt")


@dataclass(frozen=True)
class Removable:
    """Files and folders of one kind that nobody needs, within the record that holds them."""

    what: str
    record: Record
    paths: list[Path]

    @property
    def bytes(self) -> int:
        files = [p for path in self.paths for p in (path.rglob("*") if path.is_dir() else (path,))]
        return sum(p.lstat().st_size for p in files if p.is_symlink() or p.is_file())


def removable(results: Path) -> list[Removable]:
    """What can go: checkpoints of finished runs, what was half-written or set aside, and dense trainings.

    A dense training is needed as long as a run that starts from it is not finished; a later run that asks for it
    makes it again. What a process works on is left alone.

    Raises UserError where there are no records.
    """
    runs = [Record(p) for p in sorted((results / "runs").glob("*")) if p.is_dir() and not p.is_symlink()]
    dense = [Record(p) for p in sorted((results / "dense").glob("*")) if p.is_dir() and not p.is_symlink()]
    if not runs and not dense:
        raise UserError(f"no records in {results}; give the folder of a sweep's --results")
    needed = {key for run in runs if not run.done for key in _dense_keys(run)}
    unknown = any(not run.done and not _dense_keys(run) for run in runs)  # it may start from any
    found = []
    for record in [*runs, *dense]:
        if record.held:
            continue
        if record in dense and not unknown and record.folder.name not in needed and record.status:
            found.append(Removable("dense trainings of finished runs", record, [record.folder]))
            continue
        found += [Removable(what, record, paths) for what, paths in _within(record) if paths]
    return found


def remove(found: Sequence[Removable]) -> int:
    """Remove what was found, with the lock of its record held; returns how many bytes went."""
    freed = 0
    for each in found:
        with each.record.locked(wait=False) as mine:
            if not mine:
                continue
            size = each.bytes
            for path in each.paths:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            freed += size
    return freed


def _dense_keys(run: Record) -> list[str]:
    """The identity of the dense training that a run starts from, if its configuration can be read."""
    try:
        return [key for key in (read_json(run.folder / "config.json").get("dense_key"),) if key]
    except Damaged:
        return []


def _within(record: Record) -> Iterator[tuple[str, list[Path]]]:
    folder = record.folder
    if record.done:
        yield "checkpoints of finished runs", [folder / name for name in CHECKPOINTS if (folder / name).is_file()]
        yield "half-trained weights to rewind to", sorted(folder.glob("to_step_*"))
    yield "half-written files", sorted(folder.glob("*.part"))
    yield "damaged files that were set aside", sorted(folder.glob("*.corrupt"))
