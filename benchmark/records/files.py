"""Files that are whole or not there, and what happens to damaged ones."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

from benchmark.records.schema import Row


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


def readable(path: Path) -> bool:
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
