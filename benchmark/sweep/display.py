"""What a sweep shows: a line for each run that ends and, on a terminal, the runs under way and the time that is left.

It looks at records, so that it shows runs of this process, of others and of other machines alike.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.config import RunConfig
from benchmark.errors import MethodError, UserError
from benchmark.records import now
from benchmark.runs import Outcome
from benchmark.sweep.costs import costs_of, starts_dense
from benchmark.sweep.workers import Crew

LOG = "sweep.log"  # in the results folder: when each run ended, and how
TAIL = 4096  # bytes in which the last row of an epochs.jsonl stands


class Display(contextlib.AbstractContextManager["Display"]):
    """The lines of a sweep of `runs`, which `crew` carries out."""

    def __init__(self, runs: Sequence[RunConfig], crew: Crew) -> None:
        self._runs, self._crew, self._ended = runs, crew, 0
        self._live: Any = None

    def __enter__(self) -> Display:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._board = Board(self._runs)
            self._live = Live(
                get_renderable=lambda: self._board.shown(self._crew.under_way),
                console=Console(stderr=True),
                transient=True,
                refresh_per_second=1,
                redirect_stdout=sys.stdout.isatty(),
            )
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def ended(self, run: RunConfig, outcome: Outcome) -> None:
        """One line that stays, in the log too."""
        self._ended += 1
        if self._live is not None:
            self._board.left.pop(run.name, None)
        line = f"{run.name}  {outcome.state}{f': {outcome.reason}' if outcome.reason else ''}"
        print(f"[{self._ended}/{len(self._runs)}] {line}", flush=True)
        with contextlib.suppress(OSError):  # a disk that is full ends no sweep
            root = run.settings.results
            root.mkdir(parents=True, exist_ok=True)
            with (root / LOG).open("a", encoding="utf-8") as log:
                log.write(f"{now()}  {line}\n")


class Board:
    """How far runs are, and how long all of them still take at the pace so far."""

    def __init__(self, runs: Sequence[RunConfig]) -> None:
        self._costs = {run.name: cost for run, cost in zip(runs, costs_of(runs), strict=True)}
        self.left = {run.name: run for run in runs}
        self._began = time.monotonic()
        self._before = sum(self._flops_done(run) for run in runs)

    def shown(self, under_way: Sequence[RunConfig]) -> Any:
        """A table for rich: a line a run, and one for the whole."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        for width in (16, None, None):
            table.add_column(width=width, no_wrap=True)
        for run in under_way:
            row, total = last_epoch(run), self._costs[run.name].whole
            said = f"round {row['round']}  validation top1 {row['val_top1']:.4f}" if row else "begins"
            epoch = row["epoch"] if row else 0
            table.add_row(run.name, ProgressBar(total, epoch, width=16), f"{epoch}/{total:.0f} epochs", said)
        total = sum(cost.train_flops for cost in self._costs.values())
        done = total - sum(self._costs[name].train_flops for name in self.left)
        done += sum(self._flops_done(run) for run in under_way if run.name in self.left)
        ended = len(self._costs) - len(self.left)
        bar = ProgressBar(total, done, width=16)
        table.add_row("the whole sweep", bar, f"{ended}/{len(self._costs)} runs", self._time_left(total, done))
        return table

    def _time_left(self, total: float, done: float) -> str:
        passed = time.monotonic() - self._began
        if done <= self._before:
            return ""
        return f"about {clock(passed * (total - done) / (done - self._before))} left"

    def _flops_done(self, run: RunConfig) -> float:
        cost, row = self._costs[run.name], last_epoch(run)
        if row is None or not cost.whole:
            return 0.0
        own = row["epoch"] - (cost.whole - cost.epochs)  # without the dense training that another run pays for
        return cost.train_flops * min(1.0, max(0.0, own / cost.epochs)) if cost.epochs else 0.0


def last_epoch(run: RunConfig) -> Mapping[str, Any] | None:
    """The last epoch's row of a run, or of the dense training that it starts from; None before the first."""
    root = run.settings.results
    row = _last_row(root / "runs" / run.name / "epochs.jsonl")
    if row is None:
        with contextlib.suppress(MethodError, UserError):  # of an impossible plan, which the run itself will tell
            if starts_dense(run):
                return _last_row(root / "dense" / run.dense_id / "epochs.jsonl")
    return row


def _last_row(path: Path) -> Mapping[str, Any] | None:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            lines = file.read().split(b"\n")
        row = json.loads(lines[-2])  # what follows the last line's end is not yet a line
        return row if {"epoch", "round", "val_top1"} <= row.keys() else None
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: 1:02:03."""
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"
