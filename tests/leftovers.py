"""Ends what tests left running, also what left its process group or lost its parent."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

MARK = "PRUNEBENCH_STARTED_BY"  # in the environment of all that is started from here on


def mark_what_is_started() -> None:
    os.environ[MARK] = str(os.getpid())


def end_leftovers() -> list[int]:
    """Kill every marked process, where the system lists them; their ids."""
    mark = f"{MARK}={os.environ[MARK]}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile, or another user's
            marked = mark in (folder / "environ").read_bytes().split(b"\0")
            tracks_this = b"multiprocessing.resource_tracker" in (folder / "cmdline").read_bytes()  # it ends with us
            if marked and not tracks_this and folder.name != str(os.getpid()):
                os.kill(int(folder.name), signal.SIGKILL)
                found.append(int(folder.name))
    return found
