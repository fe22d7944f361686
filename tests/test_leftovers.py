"""Tests end what they start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.leftovers import end_leftovers

CHILD = "import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")
def test_what_a_test_started_is_ended_wherever_it_went() -> None:
    code = (
        "import subprocess; print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid, flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout
    grandchild = int(process.stdout.readline())
    assert {process.pid, grandchild} <= set(end_leftovers())
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_what_tests_start_hears_ctrl_c_also_where_the_tests_run_in_the_background() -> None:
    code = f"import tests.conftest, subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"
    command = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
