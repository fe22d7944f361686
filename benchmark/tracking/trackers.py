"""Whoever shows a run while it is made: W&B, and those of the entry point group `prunebench.trackers`.

A tracker is made from the record of a run and mirrors it. What it is shown first are all rows of the record, also
after an interruption: it begins anew, in place of what it showed before. An error of a tracker's ends its showing,
never the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from benchmark.errors import UserError, unknown
from benchmark.records import Record, Row

GROUP = "prunebench.trackers"


class Tracker(Protocol):
    """Shows a run somewhere. Made by calling what the entry point names with the run's Record."""

    def show(self, row: Row) -> None:
        """Show a row of epochs.jsonl or points.jsonl; `series` has its numbers by name."""

    def finish(self, *, exit_code: int, summary: Mapping[str, Any], again: bool = False) -> None:
        """The run has ended, with this state and reason; `again`: it will be gone on with."""


class Trackers:
    """Several trackers as one."""

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        self._trackers = dict(trackers)

    def show(self, row: Row) -> None:
        self._each("show", row)

    def finish(self, *, exit_code: int, summary: Mapping[str, Any], again: bool = False) -> None:
        self._each("finish", exit_code=exit_code, summary=summary, again=again)

    def _each(self, what: str, *given: Any, **named: Any) -> None:
        from benchmark.tracking.client import say

        for name, tracker in list(self._trackers.items()):
            try:
                getattr(tracker, what)(*given, **named)
            except Exception as error:
                del self._trackers[name]
                say(_lost(error), name)


def open_trackers(names: Sequence[str], record: Record) -> dict[str, Tracker]:
    """The trackers of these names, begun for a run; one that cannot begin is left out, with one line."""
    from benchmark.tracking.client import say

    found: dict[str, Tracker] = {}
    for name in names:
        make = load_tracker(name)
        try:
            found[name] = make(record)
        except Exception as error:
            say(_lost(error), name)
    return found


def load_tracker(name: str) -> Any:
    """What makes the tracker called `name` from a record.

    Raises UserError where there is none, or where a package of its is missing.
    """
    known: dict[str, EntryPoint] = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in known:
        raise unknown("tracker", name, known, "W&B is --wandb")
    try:
        return known[name].load()
    except ImportError as error:
        raise UserError(
            f"tracker '{name}' cannot be imported: {error}; pip install '{error.name or name}', or leave it out"
        ) from error


def _lost(error: Exception) -> str:
    return f"showing ended ({' '.join(f'{type(error).__name__}: {error}'.split())}); the local record is whole"
