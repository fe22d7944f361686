"""Files that are whole or not there, and that notice a flipped bit.

A JSON file has a digest of its content under `digest`. A file of tensors ends with the digest of what comes
before; `torch.load` reads it as it is. Files of rows are in `rows`. An error of the moment, such as EIO or
EMFILE, is the operating system's and raised as it is; only content that is wrong is damage.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from benchmark.errors import UserError
from benchmark.records.schema import Row

SEAL = b"\nsha256:"  # before the digest at the end of a file of tensors


class Damaged(UserError):
    """A file does not hold what was written into it."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} is damaged ({why}); the run or sweep that made it makes it anew")
        self.path, self.why = path, why


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file whole or not at all: beside its place, to the disk, then renamed. A link is replaced."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.unlink(missing_ok=True)  # of a dead process of this number
        with part.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object with its digest."""
    plain = json.loads(json.dumps(content, default=str))
    text = json.dumps({**plain, "digest": _digest_of(plain)}, indent=1, sort_keys=True) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def read_json(path: Path) -> Row:
    """What `write_json` wrote; `{}` where the file is missing.

    Raises Damaged.
    """
    try:
        content = json.loads(path.read_bytes())
        digest = content.pop("digest")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ValueError, RecursionError, LookupError, AttributeError, TypeError) as error:
        raise Damaged(path, "not a JSON object with a digest") from error
    if digest != _digest_of(content):
        raise Damaged(path, "its digest does not hold")
    return content


def write_sealed(path: Path, content: bytes | memoryview) -> None:
    """Write bytes, and at their end their digest."""
    seal = SEAL + hashlib.sha256(content).hexdigest().encode()
    write_atomically(path, lambda file: (file.write(content), file.write(seal)))


def read_sealed(path: Path) -> memoryview:
    """What `write_sealed` wrote, without the digest.

    Raises Damaged, and FileNotFoundError.
    """
    data = memoryview(path.read_bytes())
    content = data[: -len(SEAL) - 64]
    if bytes(data[len(content) :]) != SEAL + hashlib.sha256(content).hexdigest().encode():
        raise Damaged(path, "its digest does not hold")
    return content


def set_aside(path: Path, why: str) -> None:
    """Rename a damaged file to `<name>.corrupt`, saying so in one line."""
    aside = path.with_name(f"{path.name}.corrupt")
    path.replace(aside)
    print(f"{path} is damaged ({why}); set aside as {aside.name}, made anew", file=sys.stderr)


def _digest_of(content: Row) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
