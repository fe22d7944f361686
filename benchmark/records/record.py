"""One folder per run, written so that a kill at any moment leaves it whole.

`config.json`, `environment.json` and `status.json` say what was run, where, and how it ended;
`epochs.jsonl` and `points.jsonl` hold its rows; `checkpoint.pt` is where an interrupted run goes on,
`network.pt` what a finished one found. Every file is written beside its place, flushed to the disk
and renamed. The rows are part of the checkpoint, and the files are made from it, so both agree.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from benchmark.errors import UserError
from benchmark.records.files import read_json, readable, set_aside, write_atomically
from benchmark.records.schema import FILES, Row


class Record:
    """The folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def status(self) -> Row:
        """How the run stands; `{}` where it has not begun or the file is damaged."""
        return read_json(self.folder / "status.json")

    @property
    def done(self) -> bool:
        """Whether the run has ended well and all that it left can be read."""
        return self.status.get("state") == "done" and not self.damaged

    @property
    def standing(self) -> tuple[str, str]:
        """State and reason as they are now: a run that says `running` though no process holds it was killed.

        `missing` where it was never begun.
        """
        status = self.status
        state, reason = status.get("state", "missing"), status.get("reason", "")
        if state == "running" and not self._held():
            return "interrupted", "its process was killed; run it again to go on"
        if state == "done" and (damaged := self.damaged):
            return "interrupted", f"{damaged[0].name} is damaged; run it again to make it anew"
        return state, reason

    @property
    def damaged(self) -> list[Path]:
        """The files of a begun run, tensors aside, that are missing or cannot be read."""
        return [path for name in FILES if not readable(path := self.folder / name)]

    def _held(self) -> bool:
        try:
            with self.locked(wait=False) as mine:
                return not mine
        except OSError:  # a folder that cannot be written: nobody here can know
            return True

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        text = json.dumps(content, indent=1, sort_keys=True, default=str) + "\n"
        write_atomically(self.folder / name, lambda file: file.write(text.encode()))

    def write_rows(self, name: str, rows: list[Row]) -> None:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        write_atomically(self.folder / name, lambda file: file.write(text.encode()))

    def read_rows(self, name: str) -> list[Row]:
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def update_status(self, state: str, reason: str = "", **more: Any) -> None:
        """Set the state and its reason, keeping what else the status says."""
        self.write_json("status.json", {**self.status, "state": state, "reason": reason, **more})

    def save(self, name: str, content: Mapping[str, Any]) -> None:
        """Save tensors and plain values."""
        import torch

        buffer = io.BytesIO()  # torch.save into a file would hide why writing failed
        torch.save(dict(content), buffer)
        write_atomically(self.folder / name, lambda file: file.write(buffer.getbuffer()))

    def save_checkpoint(self, content: Mapping[str, Any]) -> None:
        """Save where the run stands; the checkpoint before stays beside it, for when this one is damaged."""
        path = self.folder / "checkpoint.pt"
        if path.exists():
            path.replace(path.with_name("previous-checkpoint.pt"))
        self.save(path.name, content)

    def load(self, name: str, device: Any = "cpu") -> dict[str, Any] | None:
        """What `save` saved; the one before where the last is damaged, None where there is neither.

        A damaged file is named on stderr and set aside as `<name>.corrupt`.
        """
        import torch

        for path in (self.folder / name, self.folder / f"previous-{name}"):
            if not path.exists():
                continue
            try:
                return torch.load(io.BytesIO(path.read_bytes()), map_location=device, weights_only=True)
            except Exception as error:  # torch raises many kinds for a damaged file
                set_aside(path, error)
        return None

    def remove(self, name: str) -> None:
        for path in (self.folder / name, self.folder / f"previous-{name}"):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self, wait: bool = True) -> Iterator[bool]:
        """Hold this run alone, over all processes; yields False, at once, where another holds it and `wait` is off.

        The operating system holds the lock, so that of a dead process is free.
        """
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def clear_litter(self) -> None:
        """Remove half-written files that a killed process left; call it with the lock held."""
        for path in self.folder.glob("*.part"):
            path.unlink(missing_ok=True)

    def set_aside_damaged(self) -> None:
        """Rename damaged files to `<name>.corrupt`; call it with the lock held."""
        for path in self.damaged:
            if path.exists():
                set_aside(path, ValueError("unreadable"))


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
