"""Who does the runs of a sweep: this process, or some processes of this machine, or (`ray_cluster`) many machines.

Locks say what is free: a run that another process works on, in this sweep or in any other over the same results,
is `held`, and so is one whose dense training another process makes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Thread, current_thread, main_thread
from typing import Any

from benchmark.config import RunConfig, run_config
from benchmark.errors import UserError
from benchmark.records import Record
from benchmark.runs import Outcome, Progress, carry_out, outcome_of
from benchmark.sweep.costs import starts_dense

FAILED = ("failed", "diverged")
GRACE = 60.0  # seconds that a worker which is asked to end has for saving its run
TRIES = 3  # for a run whose worker dies before it has begun


@dataclass(frozen=True)
class Job:
    """A run that is to be done; `again` where it is known to have failed before."""

    run: RunConfig
    again: bool = False

    @cached_property
    def records(self) -> tuple[Record, Record | None]:
        """The run's own, and that of the dense training that it starts from."""
        root, run = self.run.settings.results, self.run
        return Record(root / "runs" / run.name), Record(root / "dense" / run.dense_id) if starts_dense(run) else None

    @property
    def held(self) -> bool:
        """Whether another process works on the run, or on its dense training."""
        return any(
            record.status.get("state") == "running" and record.standing[0] == "running"
            for record in self.records
            if record is not None
        )


class Crew(contextlib.AbstractContextManager["Crew"]):
    """Who does the runs: this process, some processes of this machine, or a cluster. Left, nobody works any more."""

    @property
    @abstractmethod
    def room(self) -> int:
        """How many more runs can begin now."""

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether a run is under way."""

    @property
    @abstractmethod
    def under_way(self) -> list[RunConfig]:
        """The runs that somebody works on now."""

    @abstractmethod
    def begin(self, job: Job) -> None: ...

    @abstractmethod
    def ended(self, patience: float) -> list[tuple[Job, Outcome]]:
        """What ended since it was asked last; waits for the first, but only `patience` seconds if it can help it."""


class Alone(Crew):
    """This process, one run after the other."""

    def __init__(self) -> None:
        self._job: Job | None = None

    @property
    def room(self) -> int:
        return int(self._job is None)

    @property
    def busy(self) -> bool:
        return self._job is not None

    @property
    def under_way(self) -> list[RunConfig]:
        return [] if self._job is None else [self._job.run]

    def begin(self, job: Job) -> None:
        self._job = job

    def ended(self, patience: float) -> list[tuple[Job, Outcome]]:
        job = self._job
        assert job is not None
        try:
            return [(job, attempt(job))]
        finally:
            self._job = None

    def __exit__(self, *exception: object) -> None:
        pass


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection
    job: Job | None = None
    begun: bool = False  # whether it said that it has the job


class Processes(Crew):
    """`count` processes, each with a share of this machine's `cores`."""

    def __init__(self, count: int, cores: int) -> None:
        self._count, self._share = count, max(1, cores // count)
        self._workers: list[_Worker] = []
        self._lost: Counter[str] = Counter()  # by name of the run: workers that died before they began it

    @property
    def room(self) -> int:
        return self._count - len(self._at_work)

    @property
    def busy(self) -> bool:
        return bool(self._at_work)

    @property
    def under_way(self) -> list[RunConfig]:
        return [worker.job.run for worker in self._workers if worker.job is not None]

    @property
    def _at_work(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.job is not None]

    def begin(self, job: Job) -> None:
        while True:
            worker = next((w for w in self._workers if w.job is None), None) or self._start()
            try:
                worker.pipe.send((job.run.options, job.again))
            except OSError:  # it died while it had nothing to do
                self._bury(worker)
            else:
                worker.job, worker.begun = job, False
                return

    def ended(self, patience: float) -> list[tuple[Job, Outcome]]:
        workers = self._at_work
        ready = wait([w.pipe for w in workers] + [w.process.sentinel for w in workers], patience)
        found = (self._heard(w) for w in workers if w.pipe in ready or w.process.sentinel in ready)
        return [ended for ended in found if ended is not None]

    def _heard(self, worker: _Worker) -> tuple[Job, Outcome] | None:
        """The end of the worker's job, if it says that, or died."""
        job = worker.job
        assert job is not None
        try:
            if not worker.pipe.poll():
                raise EOFError
            answer = worker.pipe.recv()
        except (EOFError, OSError):
            self._bury(worker)
            return job, self._end_of_dead(worker, job)
        if answer is None:
            worker.begun = True
            return None
        worker.job = None
        state, reason = answer
        return job, Outcome(state, reason, outcome_of(job.run).folder)

    def _end_of_dead(self, worker: _Worker, job: Job) -> Outcome:
        """How the run of a dead worker stands; asked after its death, since it may have been at its very end."""
        now = outcome_of(job.run)
        if now.state == "done" or (now.state in FAILED and not job.again):
            return now
        if not worker.begun:
            self._lost[job.run.name] += 1
            if self._lost[job.run.name] < TRIES:
                return Outcome("held", "its worker died before it began", now.folder)
        return Outcome("interrupted", f"its process {_death(worker.process)}; run the sweep again to go on", now.folder)

    def _start(self) -> _Worker:
        context = get_context("spawn")
        mine, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._share))
        resource_tracker.ensure_running()  # or its start would unblock the signal
        with _held_back(signal.SIGINT):  # by the worker too, from its birth
            process.start()
        theirs.close()
        self._workers.append(worker := _Worker(process, mine))
        return worker

    def _bury(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.join()

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            worker.pipe.close()  # one with nothing to do ends by that
            if worker.job is not None:
                worker.process.terminate()
        until = time.monotonic() + GRACE
        for worker in self._workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            worker.process.kill()
            worker.process.join()


@contextlib.contextmanager
def _held_back(number: signal.Signals) -> Iterator[None]:
    """Keep a signal from this thread until the end, and from a process that is started within.

    Blocked, it may reach another thread, such as one of OpenBLAS, and Python would then handle it here.
    """
    if current_thread() is not main_thread():  # which handles none
        yield
        return
    caught: list[int] = []
    handler = signal.signal(number, lambda got, _: caught.append(got))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(number, handler)
        if caught:
            signal.raise_signal(number)


def _death(process: BaseProcess) -> str:
    code = process.exitcode or 0
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


def _serve(pipe: Connection, cores: int) -> None:
    """A worker's life: it takes runs until the pipe is closed."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches all; the sweep's process says what to do
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(cores)
    try:
        while True:
            options, again = pipe.recv()
            pipe.send(None)
            pipe.send(attempt_options(options, again))
    except KeyboardInterrupt as error:  # told to end: its run is saved
        sys.exit(error.args[0] if error.args else 130)
    except (EOFError, OSError):  # the sweep has ended
        return


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os.kill(os.getpid(), signal.SIGKILL)


def attempt(job: Job) -> Outcome:
    """How a run ended, or `held` where another process works on it. It shows nothing: the sweep does.

    An error is its reason, and stops no other run.
    """
    before = outcome_of(job.run)
    if before.state in FAILED and not job.again:  # in another sweep, since this one began
        return before
    try:
        return carry_out(job.run, Progress(job.run, show=False), wait=False)
    except UserError as error:
        return Outcome("failed", str(error), before.folder)
    except (Exception, SystemExit) as error:  # recorded with its traceback by carry_out
        state = "interrupted" if isinstance(error, OSError) else "failed"
        return Outcome(state, " ".join(f"{type(error).__name__}: {error}".split()), before.folder)


def attempt_options(options: dict[str, Any], again: bool) -> tuple[str, str]:
    """State and reason of `attempt` in a process of its own, whose runs arrive as options.

    A method from a file of the user's cannot be pickled.
    """
    try:
        run = run_config(options)
    except Exception as error:
        return "failed", " ".join(str(error).split())
    outcome = attempt(Job(run, again))
    return outcome.state, outcome.reason
