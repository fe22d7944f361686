"""Carries out many runs: the next free one goes to the next worker with room, and a failure stops no other."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from benchmark.config import RunConfig
from benchmark.data import check_files
from benchmark.errors import UserError
from benchmark.records import cores
from benchmark.runs import Outcome, outcome_of
from benchmark.sweep.costs import Pace, costs_of
from benchmark.sweep.display import Display, clock
from benchmark.sweep.workers import FAILED, Alone, Crew, Job, Processes

PAUSE = 0.5  # seconds until what others hold is looked at again

CrewFor = Callable[[Sequence[RunConfig]], Crew]


def choose_crew(jobs: int | Literal["auto"] | None, ray: str | None, cpus: float | None, gpus: float | None) -> CrewFor:
    """Who does the runs: this process, `jobs` processes (`auto`: as many as fill the cores), or a cluster.

    Raises UserError where the options do not go together.
    """
    too_small = (jobs not in (None, "auto") and jobs < 1) or (cpus is not None and cpus <= 0) or (gpus or 0) < 0
    if too_small:
        raise UserError("--jobs must be at least 1 or auto, --cpus_per_run above 0, --gpus_per_run 0 or more")
    if ray is not None:
        if jobs is not None:
            raise UserError("--jobs is for this machine alone; with --ray, --cpus_per_run says how many runs fit")
        from benchmark.sweep.ray_cluster import RayCluster

        return lambda runs: RayCluster(ray, cpus or 1.0, gpus or 0.0)
    if cpus is not None or gpus is not None:
        raise UserError("--cpus_per_run and --gpus_per_run are for --ray; here --jobs says how many runs at a time")
    if jobs in (None, 1):
        return lambda runs: Alone()
    return lambda runs: Processes(_count(jobs, runs), cores())


def execute(runs: Sequence[RunConfig], crew_for: Callable[[Sequence[RunConfig]], Crew], retry: bool = False) -> int:
    """Do all runs that are not done; prints how each ended and returns the exit status.

    Failed and diverged runs are left alone unless `retry`. Raises UserError, before the first run, where the data
    of one are not to be had here.
    """
    outcomes = {run.name: outcome_of(run) for run in runs}
    states = {name: outcome.state for name, outcome in outcomes.items()}
    todo = [run for run in runs if states[run.name] != "done" and (retry or states[run.name] not in FAILED)]
    if skipped := len(runs) - len(todo):
        print(f"{skipped} of {len(runs)} runs ended before and are skipped", flush=True)
    if todo:
        _check_data(todo)
        jobs = [Job(run, again=states[run.name] in FAILED) for run in todo]
        with crew_for(todo) as crew, Display(todo, crew) as display:
            for run, outcome in _carry(jobs, crew):
                outcomes[run.name] = outcome
                display.ended(run, outcome)
    return _conclude(outcomes)


def _check_data(runs: Sequence[RunConfig]) -> None:
    """Look at the files of each dataset once, so that they are fetched or found missing once and not by every run."""
    settings = [(run.images.name, run.settings) for run in runs]
    for name, root, unverified in {(name, s.data_dir, s.allow_unverified_data) for name, s in settings}:
        check_files(name, root, allow_unverified=unverified)


def _carry(jobs: Sequence[Job], crew: Crew) -> Iterator[tuple[RunConfig, Outcome]]:
    """Each run and how it ended, as they end."""
    waiting = list(jobs)
    told = False
    while waiting or crew.busy:
        for job in list(waiting):
            if crew.room and not job.held:
                waiting.remove(job)
                crew.begin(job)
        if not crew.busy:
            if not told:
                more = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
                print(f"waiting for other processes that work on {waiting[0].run.name}{more}", file=sys.stderr)
            told = True
            time.sleep(PAUSE)
            continue
        for job, outcome in crew.ended(PAUSE):
            if outcome.state == "held":
                waiting.append(job)
            else:
                yield job.run, outcome


def _count(jobs: int | Literal["auto"], runs: Sequence[RunConfig]) -> int:
    """How many processes: as asked, or as fill the cores with the threads that the largest network asks for."""
    if jobs == "auto":
        from benchmark.training import threads_for

        unlike = {_size_of(run): run for run in runs}.values()  # methods and seeds do not change what a step computes
        jobs = max(1, cores() // max(threads_for(run, cores()) for run in unlike))
    return min(jobs, len(runs))


def _size_of(run: RunConfig) -> tuple[Any, ...]:
    """What the threads of a run follow from."""
    s = run.settings
    return (
        s.model,
        repr(run.network.options),
        s.dataset,
        repr(run.images.options),
        s.image_size,
        s.train.batch_size,
        s.threads,
    )


def print_costs(runs: Sequence[RunConfig]) -> None:
    """The runs of a sweep, how each stands, and what those not done cost."""
    epochs = flops = 0.0
    seconds: list[float | None] = []
    states = [outcome_of(run).state for run in runs]
    pace = Pace(runs)
    for run, state, cost in zip(runs, states, costs_of(runs), strict=True):
        if state != "done":
            epochs, flops = epochs + cost.epochs, flops + cost.train_flops
            each = pace.seconds_of_epoch(run)
            seconds.append(None if each is None else cost.epochs * each)
        print(f"{state:12s}{run.name}  {cost.epochs:.0f} epochs  {cost.train_flops:.2e} FLOPs")
    print(f"{len(runs)} runs: {', '.join(f'{n} {state}' for state, n in sorted(Counter(states).items()))}")
    print(f"to do: {epochs:.0f} epochs, at most {flops:.2e} training FLOPs (multiply-adds, as if nothing were pruned)")
    known = [each for each in seconds if each is not None]
    if seconds and len(known) == len(seconds):
        said = "of training on this machine, one run at a time, judged by earlier ones on its device"
        print(f"about {clock(sum(known))} hours {said}")


def _conclude(outcomes: dict[str, Outcome]) -> int:
    """Print what is done, failed and missing, with reasons; the exit status."""
    states = Counter(outcome.state for outcome in outcomes.values())
    print(f"{len(outcomes)} runs: {', '.join(f'{n} {state}' for state, n in sorted(states.items()))}")
    for name, outcome in outcomes.items():
        if outcome.state != "done":
            print(f"  {outcome.state}: {name}  {outcome.reason}", file=sys.stderr)
    return 0 if set(states) <= {"done"} else 1
