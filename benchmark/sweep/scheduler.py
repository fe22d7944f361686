"""Carries out many runs on this machine: shared dense trainings first, a failure stops no other."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from threading import Thread
from typing import Any

from benchmark.config import RunConfig, run_config
from benchmark.errors import UserError
from benchmark.records import Record
from benchmark.runs import Outcome, carry_out, outcome_of, train_dense
from benchmark.sweep.costs import cost_of, starts_dense

FAILED = ("failed", "diverged")

Ended = Generator[tuple[RunConfig, Outcome], None, None]
Carrier = Callable[[Sequence[RunConfig]], Ended]


def execute(runs: Sequence[RunConfig], carry: Carrier, retry_failed: bool = False) -> int:
    """Do all runs that are not done; prints how each ended and returns the exit status.

    `carry` does them: `in_process`, `in_pool`, or `ray_cluster.on_ray`. Failed and diverged runs are left
    alone unless `retry_failed`.
    """
    before = {run.name: outcome_of(run) for run in runs}
    todo = [
        run
        for run in runs
        if before[run.name].state != "done" and (retry_failed or before[run.name].state not in FAILED)
    ]
    if skipped := len(runs) - len(todo):
        print(f"{skipped} of {len(runs)} runs ended before and are skipped", flush=True)
    outcomes = dict(before)
    if not todo:
        return _conclude(outcomes)
    with contextlib.closing(carry(todo)) as ended:
        for number, (run, outcome) in enumerate(ended, start=1):
            outcomes[run.name] = outcome
            reason = f": {outcome.reason}" if outcome.reason else ""
            print(f"[{number}/{len(todo)}] {run.name}  {outcome.state}{reason}", flush=True)
    return _conclude(outcomes)


def print_costs(runs: Sequence[RunConfig]) -> None:
    """The runs of a sweep, how each stands, and what those not done cost."""
    epochs = flops = 0.0
    dense = {run.dense_id: Record(run.settings.results / "dense" / run.dense_id) for run in runs}
    shared = {name for name, record in dense.items() if record.status.get("state") == "done"}
    for run in runs:
        state = outcome_of(run).state
        cost = cost_of(run, dense_is_paid=run.dense_id in shared)
        if starts_dense(run):
            shared.add(run.dense_id)
        if state != "done":
            epochs, flops = epochs + cost.epochs, flops + cost.train_flops
        print(f"{state:12s}{run.name}  {cost.epochs:.0f} epochs  {cost.train_flops:.2e} FLOPs")
    states = Counter(outcome_of(run).state for run in runs)
    print(f"{len(runs)} runs: {', '.join(f'{n} {state}' for state, n in sorted(states.items()))}")
    print(f"to do: {epochs:.0f} epochs, at most {flops:.2e} training FLOPs (multiply-adds, as if nothing were pruned)")


def in_process(runs: Sequence[RunConfig]) -> Ended:
    """One run after the other; those that another process holds come last, when it may be done with them."""
    held = []
    for run in runs:
        outcome = attempt(run, wait=False)
        if outcome.state == "held":
            held.append(run)
        else:
            yield run, outcome
    for run in held:
        yield run, attempt(run)


def in_pool(runs: Sequence[RunConfig], jobs: int) -> Ended:
    """`jobs` worker processes; a run that starts from a dense training waits until that is made."""
    waiting = list(runs)
    held: set[str] = set()  # by another sweep: tried once more, after all others
    made: dict[str, bool] = {}  # dense id: whether it is made, or still being made
    while waiting:
        under_way: dict[Future[Any], tuple[str, RunConfig]] = {}
        pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_begin_worker, initargs=(jobs,))
        try:
            while waiting or under_way:
                _submit(pool, waiting, under_way, made, jobs, held)
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    kind, run = under_way[future]
                    outcome = future.result()
                    del under_way[future]
                    if kind == "dense":
                        made[run.dense_id] = True
                    elif outcome.state == "held":
                        held.add(run.name)
                        waiting.append(run)
                    else:
                        yield run, outcome
        except BrokenProcessPool:  # a worker was killed: its run can go on later, the others go on now
            for kind, run in under_way.values():
                made.pop(run.dense_id, None)
                if kind == "run":
                    yield (
                        run,
                        Outcome("interrupted", "its process was killed; run the sweep again", outcome_of(run).folder),
                    )
        except (KeyboardInterrupt, GeneratorExit):
            for child in active_children():
                child.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _submit(
    pool: ProcessPoolExecutor,
    waiting: list[RunConfig],
    under_way: dict[Future[Any], tuple[str, RunConfig]],
    made: dict[str, bool],
    jobs: int,
    held: set[str],
) -> None:
    """Fill the pool: dense trainings first, then runs whose dense training is made or not needed."""
    for run in waiting:
        if len(under_way) < jobs and starts_dense(run) and run.dense_id not in made:
            made[run.dense_id] = False
            under_way[pool.submit(_portably, make_dense, run.options)] = "dense", run
    for run in list(waiting):
        if len(under_way) < jobs and made.get(run.dense_id, not starts_dense(run)):
            waiting.remove(run)
            under_way[pool.submit(_portably, attempt, run.options, run.name in held)] = "run", run


def _portably(work: Callable[..., Any], options: dict[str, Any], *rest: Any) -> Any:
    """In a worker: a run is sent as its options, since a method from the user's own file cannot be pickled."""
    try:
        return work(run_config(options), *rest)
    except KeyboardInterrupt:  # as a result it would be swallowed, and the worker wait for more
        os._exit(130)


def attempt(run: RunConfig, wait: bool = True) -> Outcome:
    """How a run ended; an error is its reason, and stops no other run."""
    try:
        return carry_out(run, wait=wait)
    except UserError as error:
        return Outcome("failed", str(error), outcome_of(run).folder)
    except Exception as error:  # recorded with its traceback by carry_out
        state, folder = "interrupted" if isinstance(error, OSError) else "failed", outcome_of(run).folder
        return Outcome(state, " ".join(f"{type(error).__name__}: {error}".split()), folder)


def make_dense(run: RunConfig) -> None:
    """Make the shared dense training; what goes wrong shows in each run that needs it."""
    with contextlib.suppress(Exception):
        train_dense(run)


def _begin_worker(jobs: int) -> None:
    """Take a share of the cores; end with the sweep, however that ends."""
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // jobs))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches all; the sweep's process says what to do
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _conclude(outcomes: dict[str, Outcome]) -> int:
    """Print what is done, failed and missing, with reasons; the exit status."""
    states = Counter(outcome.state for outcome in outcomes.values())
    print(f"{len(outcomes)} runs: {', '.join(f'{n} {state}' for state, n in sorted(states.items()))}")
    for name, outcome in outcomes.items():
        if outcome.state != "done":
            print(f"  {outcome.state}: {name}  {outcome.reason}", file=sys.stderr)
    return 0 if set(states) <= {"done", "held"} else 1
