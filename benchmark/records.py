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
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from benchmark.errors import UserError

Row = dict[str, Any]
FILES = ("config.json", "environment.json", "epochs.jsonl", "points.jsonl")
VERSIONS = ("nnrelief-bench", "torch", "torchvision", "timm", "fvcore", "wandb", "numpy")


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
        return [path for name in FILES if not _readable(path := self.folder / name)]

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


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file whole or not at all: beside its place, to the disk, then renamed."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _readable(path: Path) -> bool:
    try:
        text = path.read_text()
        for part in text.splitlines() if path.suffix == ".jsonl" else [text]:
            json.loads(part)
    except (OSError, ValueError):
        return False
    return True


def read_json(path: Path) -> Row:
    """A JSON object; `{}` where the file is missing, or damaged, which sets it aside."""
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
        return content
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        set_aside(path, error)
        return {}


def set_aside(path: Path, error: Exception) -> None:
    """Rename a damaged file to `<name>.corrupt`, saying so in one line."""
    import sys

    aside = path.with_name(f"{path.name}.corrupt")
    path.replace(aside)
    print(f"{path} is damaged ({type(error).__name__}); set aside as {aside.name}, made anew", file=sys.stderr)


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def environment(device: Any) -> Row:
    """Commit, versions and hardware that a run is made with."""
    import torch

    is_cuda = getattr(device, "type", None) == "cuda"
    return {
        "commit": _commit(),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in VERSIONS},
        "hardware": {
            "device": torch.cuda.get_device_name(device) if is_cuda else str(device),
            "machine": platform.machine(),
            "system": platform.system(),
            "cpus": os.cpu_count(),
            "threads": torch.get_num_threads(),
        },
    }


def _commit() -> str | None:
    """The commit of this code, with a + where files differ from it; None outside a checkout."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
