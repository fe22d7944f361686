"""Figures become the same files in other processes as in this one, whatever befalls those."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

import reports
from reports import press as module
from reports.press import Press
from tests.reports.made_up import point_row, write_run

LOST = """
import os, signal, sys
from reports.press import Press
press = Press(1)
print(press._processes[0].pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def figure(text: str = "μ × 2") -> Figure:
    drawn = Figure(figsize=(2, 2), layout="constrained")
    drawn.subplots().plot([1, 2], [1, 2])
    drawn.suptitle(text)
    return drawn


def files(press: Press) -> dict[str, bytes]:
    with mpl.rc_context({"savefig.dpi": 60.0, "svg.hashsalt": "x", "lines.linewidth": 3.0, "svg.fonttype": "none"}):
        found = press.printed(figure())
    return {form: file() for form, file in found.items()}


def lasts(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.usefixtures("every_form")
def test_another_process_makes_the_same_files(monkeypatch: pytest.MonkeyPatch) -> None:
    here = files(Press())
    assert here["svg"].startswith(b"<?xml")
    assert here["pdf"].startswith(b"%PDF")
    assert here["png"].startswith(b"\x89PNG")
    monkeypatch.setattr(module, "_files", None)  # so that it can only be another
    with Press(2) as press:
        assert files(press) == here


@pytest.mark.usefixtures("every_form")
def test_a_report_has_the_same_bytes_however_many_processes_draw_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pruner in ("dense", "snip", "magnitude"):
        for seed in range(2):
            write_run(
                tmp_path, f"{pruner}-{seed}", [point_row(0, 1, 0.9), point_row(1, 8, 0.8)], pruner=pruner, seed=seed
            )
    made = {}
    for count in (0, 2):
        monkeypatch.setattr(reports, "PROCESSES", count)
        folder = reports.build(tmp_path, out=tmp_path / "report").folder
        made[count] = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert made[0] == made[2]
    assert {path.suffix for path in made[2]} >= {".png", ".pdf", ".svg", ".html"}


def test_what_a_lost_process_had_to_draw_is_drawn_here() -> None:
    with Press(2) as press:
        for process in press._processes:
            process.kill()
        assert files(press) == files(Press())


def test_without_a_program_to_start_figures_are_drawn_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with Press(2) as press:
        assert not press._processes
        assert files(press) == files(Press())


def test_a_figure_that_cannot_be_drawn_says_why() -> None:
    with Press(1) as press, mpl.rc_context({"text.parse_math": True}), pytest.raises(ValueError, match="frac"):
        press.printed(figure("$\\frac{1$"))["svg"]()


def test_no_process_is_left_behind() -> None:
    with Press(2) as press:
        press.printed(figure())  # and not asked for
    assert [process.returncode for process in press._processes] == [0, 0]
    broken = Press(2)
    with contextlib.suppress(KeyboardInterrupt), broken:
        broken.printed(figure())
        raise KeyboardInterrupt
    assert [process.returncode for process in broken._processes] == [-signal.SIGKILL] * 2


def test_a_process_that_says_something_else_is_not_listened_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('N.', end='', flush=True)")  # which is None to pickle
    monkeypatch.syspath_prepend(tmp_path)
    with Press(1) as press:
        texts = [f"number {n}" for n in range(3)]
        made = [press.printed(figure(text))["svg"] for text in texts]
        assert [text in file().decode() for text, file in zip(texts, made, strict=True)] == [True] * 3


def test_where_no_thread_can_be_had_figures_are_drawn_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with Press(1) as press:
        monkeypatch.setattr(press._threads, "submit", refused)
        assert files(press) == files(Press())


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_the_processes_of_a_killed_one_end() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, env=environment)
    assert run.returncode == -signal.SIGKILL
    until = time.monotonic() + 60
    while lasts(int(run.stdout)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not lasts(int(run.stdout))
