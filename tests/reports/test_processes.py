"""Work shared by forked processes: the same as without them, errors as they are, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from benchmark.errors import UserError
from reports import processes
from reports.processes import shared

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")

KILLED = """
import os, sys, time
from reports.processes import shared
def work():
    open(f"{sys.argv[1]}/{os.getpid()}", "w").close()
    time.sleep(100)
os.sched_getaffinity = lambda pid: {0, 1}
shared([work, work])
"""


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


def test_results_come_in_their_order_from_other_processes() -> None:
    found = shared([lambda number=number: (number, os.getpid()) for number in range(100)])
    assert [number for number, _ in found] == list(range(100))
    assert os.getpid() not in {process for _, process in found}


def test_with_one_core_nothing_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert shared([os.getpid, os.getpid]) == [os.getpid()] * 2


def test_an_error_is_raised_as_it_is() -> None:
    with pytest.raises(IsADirectoryError):
        shared([os.getpid, partial(Path("/").write_bytes, b"")])


def test_a_process_that_dies_is_an_error() -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # as the command line has one of its own
    try:
        with pytest.raises(UserError, match="was killed; is there memory enough"):
            shared([partial(time.sleep, 400), partial(signal.raise_signal, signal.SIGKILL)])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert processes._works == ()


def test_none_outlives_the_process_that_forked_it(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)])
    try:
        until = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 2:
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    while any(_runs(int(path.name)) for path in tmp_path.iterdir()):
        assert time.monotonic() < until
        time.sleep(0.05)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False
