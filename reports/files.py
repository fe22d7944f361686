"""Files of records, read with suspicion: only regular ones, only so much of them, and each fault in words."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from benchmark.records import ended_line

OBJECT_BYTES = 2**20  # a configuration, an environment or a status has some kilobytes
ROWS_BYTES = 64 * 2**20  # a run of 300 layers and 20 rounds has some megabytes of rows
LINE_BYTES = 4 * 2**20
CHAIN = b', "chain": "'  # how the digest at the end of a row begins
ROWS = 100_000


class Damaged(Exception):
    """What is wrong with a file or a row; its argument says it in words."""


def read_object(path: Path) -> Any:
    """The content of a JSON file, None where there is no such file. Raises Damaged."""
    content = _content(path, OBJECT_BYTES)
    return None if content is None else _parsed(content)


def read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """The rows of a JSON-lines file with their line numbers; none where there is no such file.

    Raises Damaged, also where a row is not what its chain says, or does not come after the one before.
    """
    chain = ""
    for number, line in enumerate((_content(path, ROWS_BYTES) or b"").splitlines(), 1):
        if number > ROWS:
            raise Damaged(f"more than {ROWS:,} rows")
        if len(line) > LINE_BYTES:
            raise Damaged(f"line {number} has more than {LINE_BYTES // 2**20} MiB")
        try:
            row = _parsed(line)
        except Damaged as error:
            raise Damaged(f"line {number}: {error}") from error
        body, mark, _ = line.rpartition(CHAIN)
        if mark:
            ended, chain = ended_line(body, chain)
            if ended != line + b"\n":
                raise Damaged(f"line {number} was changed, or lines before it are missing")
        yield number, row


def _content(path: Path, limit: int) -> bytes | None:
    """At most `limit` bytes of a regular file; another kind of file is not opened, for a pipe would wait for ever."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Damaged("not a regular file")
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            content = file.read(limit + 1) if os.fstat(file.fileno()).st_size <= limit else b" " * (limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Damaged(error.strerror or "cannot be read") from error
    if len(content) > limit:
        raise Damaged(f"more than {limit // 2**20} MiB")
    return content


def _parsed(content: bytes) -> Any:
    with contextlib.suppress(ValueError):
        return from_json(content)  # in half the time of what is below, but no half of a surrogate pair
    try:
        return json.loads(content.decode())
    except UnicodeDecodeError as error:
        raise Damaged("not UTF-8") from error
    except RecursionError as error:
        raise Damaged("nested too deeply") from error
    except ValueError as error:
        raise Damaged("not JSON") from error
