"""Many runs at once: workers that die, runs that others hold, signals at any moment."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli.entry import main
from benchmark.config.options import run_config
from benchmark.config.run import RunConfig
from benchmark.errors import UserError
from benchmark.records.record import open_record
from benchmark.runs.execution import Outcome, outcome_of
from benchmark.runs.progress import Progress
from benchmark.sweep import workers
from benchmark.sweep.scheduler import choose_crew, execute
from benchmark.sweep.workers import Alone, Crew, Job, Processes, _held_back, attempt, attempt_options
from benchmark.training.threads import threads_for
from tests.tracking.mirrored import wait_until

QUICK = {"train.epochs": 1, "retrain.epochs": 1, "train_limit": 200, "wandb": "off", "device": "cpu"}
METHODS = """
import os
import signal
import sys
from pathlib import Path

from baselines.magnitude import Magnitude
from baselines.snip import SNIP


class Killer(SNIP):
    "Kills whoever runs it."

    def score(self, net, batches):
        with Path("kills").open("a") as file:
            file.write("killed\\n")
        os.kill(os.getpid(), signal.SIGKILL)


class Leaver(SNIP):
    "Exits."

    def score(self, net, batches):
        sys.exit("enough")
"""


def _config(results: Path, pruner: str = "snip(sparsity=0.5)", **options: Any) -> RunConfig:
    return run_config({**QUICK, "pruner": pruner, "results": results, **options})


def _sweep(folder: Path, pruners: list[str], **options: Any) -> list[str]:
    """The words of a sweep over some methods."""
    (folder / "methods.py").write_text(METHODS)
    (folder / "sweep.yaml").write_text(f"method: grid\nparameters:\n  pruner: {{values: {pruners}}}\n")
    settings = {**QUICK, "results": "results", **options}
    return ["sweep", "sweep.yaml", *(f"--{name}={value}" for name, value in settings.items())]


def _status(words: list[str]) -> int:
    with pytest.raises(SystemExit) as caught:
        main(words)
    return int(caught.value.code or 0)


def _ended(crew: Crew) -> list[Outcome]:
    while not (found := crew.ended(0.5)):
        pass
    return [outcome for _, outcome in found]


def test_a_run_that_kills_its_worker_is_interrupted_once_and_the_others_are_done(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pruners = ["methods.py:Killer", "snip(sparsity=0.5)", "snip(sparsity=0.6)", "snip(sparsity=0.7)"]
    assert _status([*_sweep(tmp_path, pruners), "--jobs", "2"]) == 1
    said = capfd.readouterr()
    reason = "its process was killed by SIGKILL; run the sweep again to go on"
    assert "4 runs: 3 done, 1 interrupted" in said.out
    assert sum(f"interrupted: {reason}" in line for line in said.out.splitlines()) == 1
    assert sorted(line.partition("]")[0] for line in said.out.splitlines() if line.startswith("[")) == [
        f"[{n}/4" for n in range(1, 5)
    ]
    assert (tmp_path / "kills").read_text() == "killed\n"
    assert "Traceback" not in said.err


def test_a_run_for_which_every_worker_dies_before_it_begins_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workers, "_serve", _dies)
    assert execute([_config(tmp_path)], lambda runs: Processes(1, 1)) == 1
    assert "interrupted: its process ended with status 3; run the sweep again" in capfd.readouterr().out
    assert (Path("deaths")).read_text() == "x" * workers.TRIES


def _dies(pipe: Connection, cores: int) -> None:
    with Path("deaths").open("a") as file:
        file.write("x")
    os._exit(3)


def test_a_worker_that_dies_just_before_it_is_given_a_run_costs_no_run(tmp_path: Path) -> None:
    with (crew := Processes(1, 1)):
        crew.begin(Job(_config(tmp_path)))
        assert [outcome.state for outcome in _ended(crew)] == ["done"]
        (worker,) = crew._workers
        os.kill(worker.process.pid or 0, signal.SIGKILL)
        next_job = Job(_config(tmp_path, "random(sparsity=0.5)"))
        crew.begin(next_job)
        (outcome,) = _ended(crew)
        if outcome.state == "held":  # the pipe took it before the death was known: it is given once more
            crew.begin(next_job)
            (outcome,) = _ended(crew)
    assert outcome.state == "done"


def test_a_run_whose_worker_dies_at_the_very_end_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_serve", _dies_when_done)
    with Processes(1, 1) as crew:
        crew.begin(Job(_config(tmp_path)))
        assert [outcome.state for outcome in _ended(crew)] == ["done"]


def _dies_when_done(pipe: Connection, cores: int) -> None:
    options, again = pipe.recv()
    pipe.send(None)
    attempt_options(options, again)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_method_that_exits_ends_its_run_and_no_other(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert _status(_sweep(tmp_path, ["methods.py:Leaver", "snip(sparsity=0.5)"])) == 1
    said = capfd.readouterr().out
    assert "failed: SystemExit: enough" in said
    assert "2 runs: 1 done, 1 failed" in said


class _Held:
    """The dense training of a run, held by somebody else until told."""

    def __init__(self, run: RunConfig) -> None:
        self.record = open_record(run.settings.results, "dense", run.dense_id)
        self.held, self.release = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._hold)

    def _hold(self) -> None:
        with self.record.locked():
            self.record.update_status("running")
            self.held.set()
            assert self.release.wait(60)

    def __enter__(self) -> _Held:
        self.thread.start()
        assert self.held.wait(60)
        return self

    def __exit__(self, *exception: object) -> None:
        self.release.set()
        self.thread.join()


def test_runs_whose_dense_training_another_process_makes_are_passed_over_and_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    waits = [_config(tmp_path, f"magnitude(rounds={n})") for n in (1, 2)]
    free = [_config(tmp_path, f"snip(sparsity=0.{n})") for n in (5, 6)]
    with _Held(waits[0]) as other:
        threading.Thread(target=_release_when, args=(other, lambda: outcome_of(free[-1]).state == "done")).start()
        assert execute([*waits, *free], lambda runs: Alone()) == 0
    said = capsys.readouterr()
    order = [line.split()[1] for line in said.out.splitlines() if line.startswith("[")]
    assert order == [run.name for run in (*free, *waits)]
    assert said.err == f"waiting for other processes that work on {waits[0].name} and 1 more\n"


def _release_when(other: _Held, happened: Callable[[], bool]) -> None:
    wait_until(happened)
    time.sleep(2)  # which the sweep spends waiting
    other.release.set()


def test_what_failed_in_another_sweep_meanwhile_is_not_done_again(tmp_path: Path) -> None:
    run = _config(tmp_path)
    record = open_record(tmp_path, "runs", run.name)
    record.update_status("failed", "there")
    assert attempt(Job(run)) == Outcome("failed", "there", record.folder)
    assert attempt(Job(run, again=True)).state == "done"


def test_workers_draw_no_progress_over_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[bool] = []

    def watched(run: RunConfig, progress: Progress, wait: bool) -> Outcome:
        shown.append(progress.show)
        return Outcome("done", "", tmp_path)

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(workers, "carry_out", watched)
    assert attempt_options(_config(tmp_path).options, False) == ("done", "")
    assert shown == [False]
    assert Progress(_config(tmp_path)).show


def test_jobs_fill_the_cores_with_the_threads_that_the_networks_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.sweep.scheduler.cores", lambda: 6)
    small = [_config(Path("results"), seed=seed) for seed in range(9)]
    large = run_config({"dataset": "cifar10", "model": "resnet_20", "pruner": "snip", "wandb": "off"})
    assert [threads_for(run, 6) for run in (small[0], large)] == [1, 4]  # a thread for each 10^9 FLOPs of a step
    count = [choose_crew("auto", None, None, None)(runs).room for runs in (small, small[:2], [*small, large])]
    assert count == [6, 2, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((0, None, None, None), "--jobs must be at least 1 or auto"),
        ((2, "local", None, None), "--jobs is for this machine alone"),
        ((None, None, 2.0, None), "are for --ray"),
        ((None, "local", 0.0, None), "--cpus_per_run above 0"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose_crew(*options)


def _started(words: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmark", *words]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, start_new_session=True)


def _interrupted_again_and_again(process: subprocess.Popen[str]) -> str:
    """What it says on stderr after a Ctrl-C every few milliseconds until it has ended."""
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.append(process.communicate(timeout=90)[1]))
    reader.start()
    while reader.is_alive():
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.003)
    assert process.returncode == 128 + signal.SIGINT
    return said[0]


STOPPED = "prunebench: stopped; the same command again goes on from here\n"


@pytest.mark.parametrize("jobs", [1, 2])
def test_many_ctrl_cs_print_one_line(tmp_path: Path, jobs: int) -> None:
    words = _sweep(tmp_path, ["snip(sparsity=0.5)", "snip(sparsity=0.6)"], **{"train.epochs": 100000})
    process = _started([*words, f"--jobs={jobs}"])
    wait_until(lambda: len(list(tmp_path.glob("results/runs/*/checkpoint.pt"))) == jobs)
    assert _interrupted_again_and_again(process) == STOPPED


@pytest.mark.skipif(sys.platform != "linux", reason="finds workers in /proc")
def test_ctrl_c_while_the_workers_start_prints_one_line(tmp_path: Path) -> None:
    process = _started([*_sweep(tmp_path, ["snip(sparsity=0.5)", "snip(sparsity=0.6)"]), "--jobs=2"])
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_until(lambda: any(b"spawn_main" in _command_line(pid) for pid in children.read_text().split()))
    assert _interrupted_again_and_again(process) == STOPPED


def test_a_signal_is_held_back_though_another_thread_may_get_it() -> None:
    done, passed = threading.Event(), []
    other = threading.Thread(target=done.wait)
    other.start()

    def interrupt() -> None:
        with _held_back(signal.SIGINT):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            passed.append(True)

    try:
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    finally:
        done.set()
        other.join()
    assert passed


def _command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
