"""Where a report is put: whole or not at all, and never in the place of anything that is no report.

A report carries a file that lists its files. Only a folder with that list and nothing besides is replaced, and only
what is listed is removed. What a killed report leaves has fixed names beside its place, where the next one finds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmark.errors import UserError
from reports.files import Damaged, read_object
from reports.schema import printable

MARKER = ".prunebench-report"
STRAYS = (".DS_Store", "Thumbs.db", "desktop.ini")  # what systems leave in a folder that somebody looks at
Content = bytes | Callable[[], bytes]  # of a file, or what makes it when it is written
PATIENCE = 300.0  # seconds that another report may take to be drawn and written


def checked_place(out: Path, *results: Path) -> Path:
    """The folder that `out` really is; nothing is written.

    Raises UserError where a report there would replace what is no report, or lie among the records of `results`.
    """
    try:
        place = out.resolve()
        roots = [root.resolve() for root in results]
        records = [(root / name).resolve() for root in roots for name in ("runs", "dense")]
        for kept in (*roots, *records, *_places_of_the_user()):
            if _within(kept, place):
                raise UserError(_refusal(out, f"it is or holds {kept}"))
        for kept in records:
            if _within(place, kept):
                raise UserError(_refusal(out, f"it lies in {kept}, among the records"))
        if _exists(place) and (stranger := _stranger(place)):
            raise UserError(_refusal(out, stranger))
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name too long, no permission
        raise UserError(_refusal(out, getattr(error, "strerror", None) or str(error))) from error
    return place


def write_report(out: Path, files: Mapping[str, Content], *results: Path) -> None:
    """Put a report in its place; the one before stays until all `files`, by path in the report, are written.

    Raises UserError as `checked_place` does, and where writing fails, which leaves the place as it was.
    """
    place = checked_place(out, *results)
    new, old = place.with_name(f".{place.name}.new"), place.with_name(f".{place.name}.old")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _alone(place.parent):
            _clear(out, place, new, old)
            checked_place(out, *results)  # again, now that no other report is being written
            try:
                _write(new, files)
                _swap(place, new, old)
            finally:
                _remove(new)
            _remove(old)
    except OSError as error:
        raise UserError(
            f"cannot write the report to {printable(str(out))}: {error.strerror or error}; "
            "choose another folder with --out"
        ) from error


def _refusal(out: Path, why: str) -> str:
    return f"no report is written to {printable(str(out))!r}: {printable(why)}; choose a new folder with --out"


def _places_of_the_user() -> Iterator[Path]:
    yield Path.cwd().resolve()
    with contextlib.suppress(RuntimeError):  # nobody knows a home
        yield Path.home().resolve()


def _within(path: Path, folder: Path) -> bool:
    """Whether `path` is `folder` or lies in it, by whatever name."""
    if path.is_relative_to(folder):
        return True
    return folder.exists() and any(p.exists() and p.samefile(folder) for p in (path, *path.parents))


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _stranger(place: Path) -> str:
    """What in an existing `place` keeps it from being replaced by a report; empty where nothing does."""
    if not place.is_dir():
        return "it is no folder"
    found = [name for name in _walk(place) if name != MARKER]
    listed = _listed(place)
    if found and listed is None:
        return "it is not empty, and no report of this program"
    strange = next((name for name in found if name not in (listed or ())), None)
    return "" if strange is None else f"it holds {strange}, which is no part of the report in it"


def _walk(place: Path) -> Iterator[str]:
    """The paths in a folder of all that is no folder, and of links to folders."""
    for folder, folders, files in os.walk(place):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in sorted([*files, *links]):
            if name not in STRAYS:
                yield (Path(folder) / name).relative_to(place).as_posix()


def _listed(place: Path) -> set[str] | None:
    """The files of the report in `place`; None where there is none."""
    try:
        names = read_object(place / MARKER)
    except Damaged:
        return None
    return {name for name in names if isinstance(name, str)} if isinstance(names, list) else None


def _clear(out: Path, place: Path, new: Path, old: Path) -> None:
    """Finish what a killed report left: the report that it had moved aside goes back, or goes."""
    for left in (new, old):
        if _exists(left) and (left.is_symlink() or _stranger(left)):
            raise UserError(f"no report is written to {out}: {left} is in the way; move it, or choose another --out")
    if old.exists() and not place.exists():
        old.rename(place)
    _remove(old)
    _remove(new)


def _write(new: Path, files: Mapping[str, Content]) -> None:
    new.mkdir()
    (new / MARKER).write_text(json.dumps(sorted(files), indent=0) + "\n")  # first, so that a torn one is known
    for folder in {(new / name).parent for name in files}:
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (new / name).write_bytes(content() if callable(content) else content)


def _swap(place: Path, new: Path, old: Path) -> None:
    try:
        if place.exists():
            place.rename(old)
        new.rename(place)
    except BaseException:
        if old.exists() and not place.exists():
            old.rename(place)
        raise


def _remove(folder: Path) -> None:
    """Remove a report: what it lists, then the list. What cannot be removed is left for the next report."""
    with contextlib.suppress(OSError):
        listed = _listed(folder) or set()
        for name in [name for name in _walk(folder) if name in listed]:
            (folder / name).unlink()
        for parent, _, left in os.walk(folder, topdown=False):
            for stray in set(left).intersection(STRAYS):
                (Path(parent) / stray).unlink()
            if Path(parent) != folder:
                Path(parent).rmdir()
        (folder / MARKER).unlink(missing_ok=True)
        folder.rmdir()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a folder against other reports that are being written to it; the lock of a dead process is free.

    Where the file system knows no locks, nothing is held.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        until = time.monotonic() + PATIENCE
        while not _locked(descriptor):
            if time.monotonic() > until:
                raise UserError(f"another report has been written to {folder} for {PATIENCE:.0f} s; try again")
            time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
