"""One folder per run, written so that a kill at any moment leaves it whole.

`config.json`, `environment.json` and `status.json` say what was run, where, and how it ended;
`epochs.jsonl` and `points.jsonl` hold its rows; `checkpoint.pt` is where an interrupted run goes on,
`network.pt` what a finished one found. Rows are appended; a checkpoint says up to which row it stands, and
those after it are cut and made again. Every other file is written beside its place, flushed to the disk and
renamed. Each file carries a digest, held whenever it is read back.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from benchmark.errors import UserError, is_out_of_memory
from benchmark.records.environment import now
from benchmark.records.files import Damaged, read_json, read_sealed, set_aside, write_json, write_sealed
from benchmark.records.rows import Rows, read_rows
from benchmark.records.schema import FILES, ROWS, Row

NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK)  # of file systems without flock
PATIENCE = 0.3  # seconds between two looks at a lock that another holds

_HELD: dict[Path, tuple[int, ...]] = {}  # files of tensors whose digest held in this process, as they were then


class Record:
    """The folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.epochs, self.points = (Rows(folder / name) for name in ROWS)

    @property
    def status(self) -> Row:
        """How the run stands; `{}` where it has not begun or the file is damaged."""
        try:
            return self.read_json("status.json")
        except Damaged:
            return {}

    @property
    def done(self) -> bool:
        """Whether the run has ended well and all that it left is as it was written."""
        return self.status.get("state") == "done" and not self.damaged

    @property
    def standing(self) -> tuple[str, str]:
        """State and reason as they are now: a run that says `running` though no process holds it was killed.

        `missing` where it was never begun.
        """
        try:
            status = self.read_json("status.json")
        except Damaged:
            return "interrupted", "status.json is damaged; run it again to make it anew"
        state, reason = status.get("state", "missing"), status.get("reason", "")
        if state == "running" and not self.held:
            return "interrupted", "its process was killed; run it again to go on"
        if state == "done" and (damaged := self.damaged):
            what = "damaged" if damaged[0].exists() else "missing"
            return "interrupted", f"{damaged[0].name} is {what}; run it again to make it anew"
        return state, reason

    @property
    def damaged(self) -> list[Path]:
        """What a finished run must have and is missing, or is not as it was written."""
        ends = self.status.get("rows", {})
        found = []
        for name in (*FILES, "network.pt"):
            path = self.folder / name
            try:
                if not path.is_file():
                    raise Damaged(path, "missing")
                if name in ROWS:
                    read_rows(path, ends.get(name))
                elif name.endswith(".json"):
                    read_json(path)
                else:
                    _hold(path)
            except Damaged:
                found.append(path)
        return found

    @property
    def held(self) -> bool:
        """Whether another process works on it right now."""
        try:
            with self.locked(wait=False) as mine:
                return not mine
        except FileNotFoundError:
            return False
        except OSError:  # a folder that cannot be written: nobody here can know
            return True

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        write_json(self.folder / name, content)

    def read_json(self, name: str) -> Row:
        """`{}` where it is missing; raises Damaged."""
        return read_json(self.folder / name)

    def write_rows(self, name: str, rows: list[Row]) -> None:
        """Write all rows of a file at once, in place of what it had."""
        (self.epochs if name == ROWS[0] else self.points).replace(rows)

    def read_rows(self, name: str) -> list[Row]:
        """The rows of a file, without a torn last one; raises Damaged."""
        return read_rows(self.folder / name)

    def update_status(self, state: str, reason: str = "", **more: Any) -> None:
        """Set the state and its reason, keeping what else the status says.

        While a run is under way it says where; once it has ended, how many rows there are.
        """
        if state == "running":
            here = {"started": now(), **self.status, "host": socket.gethostname(), "process": os.getpid(), "rows": {}}
        else:
            here = {**self.status, "rows": {rows.path.name: rows.end for rows in (self.epochs, self.points)}}
        self.write_json("status.json", {**here, "state": state, "reason": reason, **more})

    def save(self, name: str, content: Mapping[str, Any]) -> None:
        """Save tensors and plain values."""
        import torch

        buffer = io.BytesIO()  # torch.save into a file would hide why writing failed
        torch.save(dict(content), buffer)
        write_sealed(self.folder / name, buffer.getbuffer())

    def save_checkpoint(self, content: Mapping[str, Any]) -> None:
        """Save where the run stands; the checkpoint before stays beside it, for when this one is damaged."""
        path = self.folder / "checkpoint.pt"
        if path.exists():
            path.replace(path.with_name("previous-checkpoint.pt"))
        self.save(path.name, content)

    def load(self, name: str, device: Any = "cpu") -> dict[str, Any] | None:
        """What `save` saved; None where it is missing, or damaged: then it is set aside as `<name>.corrupt`."""
        import torch

        path = self.folder / name
        try:
            content = read_sealed(path)
            return torch.load(io.BytesIO(content), map_location=device, weights_only=True)
        except FileNotFoundError:
            return None
        except Damaged as error:
            set_aside(path, error.why)
        except OSError:
            raise
        except Exception as error:  # torch raises many kinds for what it cannot read
            if is_out_of_memory(error):
                raise
            set_aside(path, type(error).__name__)
        return None

    def finish(self, content: Mapping[str, Any], **status: Any) -> None:
        """Save what a training found; nothing but that is left of it once the status says `done`."""
        for rows in (self.epochs, self.points):
            rows.to_disk()
        self.save("network.pt", content)
        self.remove("checkpoint.pt", "previous-checkpoint.pt")
        self.update_status("done", **status)

    def remove(self, *names: str) -> None:
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self, wait: bool = True) -> Iterator[bool]:
        """Hold this run alone, over all processes; yields False, at once, where another holds it and `wait` is off.

        One that waits says for whom. The operating system holds the lock, so that of a dead process is free.

        Raises UserError where the file system has no locks.
        """
        lock = FileLock(self.folder / ".lock", fallback_to_soft=False)
        try:
            if not _acquired(lock, 0):
                if not wait:
                    yield False
                    return
                self._say_who_holds_it()
                _acquired(lock, -1)
        except OSError as error:
            if error.errno in NO_LOCKS:
                raise UserError(
                    f"{self.folder} lies on a file system without locks ({error.strerror}), which keep two processes "
                    "from one run; mount it with them (Lustre: -o flock), or choose another folder with --results"
                ) from error
            raise
        try:
            yield True
        finally:
            lock.release()

    def _say_who_holds_it(self) -> None:
        status = self.status
        who = f"process {status['process']} on {status['host']}" if "process" in status else "another process"
        where = Path(*self.folder.parts[-2:])
        print(f"waiting for {where}, which {who} works on; Ctrl-C ends the waiting only", file=sys.stderr, flush=True)

    def clear_litter(self) -> None:
        """Remove what a killed process left half-done; call it with the lock held."""
        for path in self.folder.glob("*.part"):
            path.unlink(missing_ok=True)
        for folder in self.folder.glob("to_step_*"):
            if (self.folder / f"{folder.name.removeprefix('to_')}.pt").exists():
                shutil.rmtree(folder)

    def set_aside_damaged(self) -> None:
        """Rename JSON files that are damaged to `<name>.corrupt`; call it with the lock held."""
        for name in ("config.json", "environment.json", "status.json"):
            try:
                self.read_json(name)
            except Damaged as error:
                set_aside(error.path, error.why)


def open_record(root: Path, kind: str, name: str) -> Record:
    """The folder `root`/`kind`/`name`, made if need be.

    Raises UserError where it cannot be written.
    """
    folder = root / kind / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write results to {root}: {error.strerror}; choose another folder with --results"
        ) from error
    if not os.access(folder, os.W_OK):
        raise UserError(f"cannot write results to {folder}: no permission; choose another folder with --results")
    return Record(folder)


def _acquired(lock: FileLock, timeout: float) -> bool:
    try:
        lock.acquire(timeout=timeout, poll_interval=PATIENCE)
    except Timeout:
        return False
    return True


def _hold(path: Path) -> None:
    """Hold the digest of a file of tensors, once in this process as long as the file stays as it is."""
    about = path.stat()
    as_it_is = (about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
    if _HELD.get(path) != as_it_is:
        read_sealed(path)
        _HELD[path] = as_it_is
