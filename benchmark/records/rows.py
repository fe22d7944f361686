"""A file of rows that grows by a line for each, at the same cost whatever came before.

A line is a JSON object whose last key, `chain`, digests the line and the chain of the line before. Whoever
keeps an `End`, the number of rows and the last chain, finds every line edited, doubled, missing or moved.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.records.files import Damaged, set_aside, write_atomically
from benchmark.records.schema import Row

End = list[Any]  # how many rows there are, and the chain of the last, as JSON has it
BEGIN: End = [0, ""]


class Rows:
    """The rows of one file, of which only the end is kept in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.end = BEGIN
        self._is_on_disk = True
        self._is_mended = False

    @property
    def count(self) -> int:
        return self.end[0]

    def append(self, *rows: Mapping[str, Any]) -> None:
        """Add rows; they are in the file at once, on the disk after `to_disk`."""
        lines, end = _lines(rows, self.end)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW  # a planted link leads nowhere
        with os.fdopen(os.open(self.path, flags, 0o644), "ab") as file:
            file.write(lines)
        self.end, self._is_on_disk = end, False

    def replace(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write these rows in place of all there are."""
        lines, end = _lines(rows, BEGIN)
        write_atomically(self.path, lambda file: file.write(lines))
        self.end, self._is_on_disk = end, True

    def to_disk(self) -> None:
        """Wait until all rows are on the disk."""
        if not self._is_on_disk:
            with self.path.open("rb") as file:
                os.fsync(file.fileno())
            self._is_on_disk = True

    def go_back(self, end: End) -> list[Row]:
        """The rows up to `end`, where the file goes on from now on: what came after is cut.

        Raises Damaged where the file does not lead to `end`; then it is set aside, and its sound rows kept.
        """
        data = _content(self.path)
        sound, found, length = [], BEGIN, 0
        for row, chain, stop in _sound(data):
            if found[0] == end[0]:
                break
            sound.append(row)
            found, length = [found[0] + 1, chain], stop
        if found != end:
            self._keep(sound)
            raise Damaged(self.path, f"{end[0]} rows were written, {found[0]} are sound")
        if len(data) > length:
            os.truncate(self.path, length)
        self.end = found
        return sound

    def _keep(self, rows: list[Row]) -> None:
        """Set the file aside, and write its sound rows once more: an earlier checkpoint may go on from them."""
        if self._is_mended:
            return
        if self.path.exists() or self.path.is_symlink():
            set_aside(self.path, "rows are missing or were changed")
        else:
            print(f"{self.path} is missing; made anew", file=sys.stderr)
        self.replace(rows)
        self._is_mended = True


def read_rows(path: Path, end: End | None = None) -> list[Row]:
    """The rows of a file without their chains; none where it is missing. A torn last line is left out.

    Raises Damaged where a whole line is not sound, or the rows do not lead to `end`.
    """
    data = _content(path)
    rows, found, length = [], BEGIN, 0
    for row, chain, stop in _sound(data):
        rows.append(row)
        found, length = [len(rows), chain], stop
    if b"\n" in data[length:]:
        raise Damaged(path, f"row {len(rows) + 1} was changed")
    if end is not None and found != end:
        raise Damaged(path, f"{end[0]} rows were written, {len(rows)} are there")
    return rows


def _content(path: Path) -> bytes:
    try:
        return b"" if path.is_symlink() else path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return b""


def _sound(data: bytes) -> Iterator[tuple[Row, str, int]]:
    """Each row, its chain and where its line ends, up to the first line that is not sound."""
    start, chain = 0, ""
    while (stop := data.find(b"\n", start) + 1) > 0:
        line = data[start:stop]
        cut = line.rfind(b', "chain": "')
        body = line[:cut]
        if cut < 0 or line != (ended := ended_line(body, chain))[0]:
            return
        try:
            row = json.loads(body + b"}")
        except (ValueError, RecursionError):  # somebody made a chain for a line that is no row
            return
        chain = ended[1]
        yield row, chain, stop
        start = stop


def _lines(rows: Sequence[Mapping[str, Any]], end: End) -> tuple[bytes, End]:
    """The lines of rows that come after `end`, and the end after them."""
    count, chain = end
    lines = []
    for row in rows:
        line, chain = ended_line(json.dumps(row)[:-1].encode(), chain)
        lines.append(line)
    return b"".join(lines), [count + len(rows), chain]


def ended_line(body: bytes, chain: str) -> tuple[bytes, str]:
    """The line of `body`, a JSON object without its last bracket, and its chain."""
    chain = hashlib.sha256(chain.encode() + body).hexdigest()[:16]
    return body + f', "chain": "{chain}"}}\n'.encode(), chain
