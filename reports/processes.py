"""Work that several processes share: those of this machine, forked, for what they work on is large."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any, TypeVar

from benchmark.errors import UserError

MOST = 8  # processes, each of which has some tens of megabytes of its own

Result = TypeVar("Result")
_works: Sequence[Callable[[], Any]] = ()  # of a forked process


def shared(works: Sequence[Callable[[], Result]]) -> list[Result]:
    """The results of `works`, which may hold anything; the results are pickled.

    Where a process with threads cannot be forked safely, one after the other. Raises UserError where a process dies.
    """
    count = min(len(works), MOST, len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1)
    if count < 2:
        return [work() for work in works]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*multi-threaded", category=DeprecationWarning)  # NumPy's, idle
        with ProcessPoolExecutor(count, get_context("fork"), _begin, (works,)) as pool:
            try:
                return list(pool.map(_do, range(len(works)), chunksize=1 + len(works) // (16 * count)))
            except BrokenProcessPool as error:
                raise UserError(
                    "a process that made a part of the report was killed; is there memory enough?"
                ) from error


def _begin(works: Sequence[Callable[[], Any]]) -> None:
    global _works
    _works = works
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches all; the first process says what there is to say
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # by which the pool ends the others where one has died
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _do(number: int) -> Any:
    return _works[number]()
