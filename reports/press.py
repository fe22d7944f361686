"""Figures as files: the same bytes each time, drawn in processes beside this one, for that is most of a report's work.

Run as a program, this is such a process. It needs nothing but matplotlib, and ends with the process that began it.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from importlib import import_module
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Files = dict[str, bytes]  # by form
FORMS: dict[str, dict[str, Any]] = {
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
    "png": {"metadata": {"Software": None}},
}


class Press(contextlib.AbstractContextManager["Press"]):
    """Makes files of figures in `count` processes; without them, or where one is lost, here when they are asked for."""

    def __init__(self, count: int = 0) -> None:
        started = [process for process in (_started() for _ in range(count)) if process is not None]
        self._processes = started
        self._free: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        for process in started:
            self._free.put(process)
        self._threads = ThreadPoolExecutor(len(started)) if started else None

    def printed(self, figure: Figure) -> dict[str, Callable[[], bytes]]:
        """What gives the files of the figure by form, as it is now and with matplotlib's settings of now."""
        import matplotlib as mpl

        settings = {name: value for name, value in mpl.rcParams.copy().items() if not name.startswith("backend")}
        job = pickle.dumps((settings, FORMS, figure))
        found = None
        with contextlib.suppress(RuntimeError):  # no thread can be had
            found = self._threads.submit(self._beside, job) if self._threads else None
        files = cache(lambda: (found and found.result()) or _files(*pickle.loads(job)))
        return {form: partial(_of_form, files, form) for form in FORMS}

    def _beside(self, job: bytes) -> Files | None:
        """The files, from another process; None where it is lost."""
        process = self._free.get()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(job)
            process.stdin.flush()
            files = pickle.load(process.stdout)
            if not isinstance(files, dict):
                raise pickle.UnpicklingError("no files")
            return files
        except Exception:  # whatever it was, this process meets it when it draws the figure itself
            process.kill()  # so that no answer is taken for that to a later question
            return None
        finally:
            self._free.put(process)

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        for process in self._processes if kind else ():
            process.kill()
        if self._threads:
            self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            process.communicate()  # which closes what it reads from, and so ends it


def _of_form(files: Callable[[], Files], form: str) -> bytes:
    return files()[form]


def _started() -> subprocess.Popen[bytes] | None:
    """A process that draws; None where there can be none."""
    pipe = subprocess.PIPE
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        return subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths},
            start_new_session=True,  # a Ctrl-C is for the process that began it
        )
    except (OSError, TypeError):  # TypeError: an embedded Python knows of no program
        return None


def _files(settings: dict[Any, Any], forms: dict[str, dict[str, Any]], figure: Figure) -> Files:
    import matplotlib as mpl

    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in a script that the font lacks
        warnings.filterwarnings("ignore", message="constrained_layout not applied")  # names longer than the figure
        if (layout := figure.get_layout_engine()) is not None:
            layout.execute(figure)  # once for all forms
        figure.set_layout_engine(None)
        return {form: _file(figure, form, options) for form, options in forms.items()}


def _file(figure: Figure, form: str, options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=form, **options)
    return file.getvalue()


def _serve() -> None:
    """Draw what comes in until nothing more can."""
    answers, sys.stdout = sys.stdout.buffer, sys.stderr  # what else is said goes elsewhere
    for form in FORMS:  # while the first figure is made
        import_module(f"matplotlib.backends.backend_{'agg' if form == 'png' else form}")
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            pickle.dump(_files(*pickle.load(sys.stdin.buffer)), answers)
            answers.flush()


if __name__ == "__main__":
    _serve()
