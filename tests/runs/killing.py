"""Runs on digits that kill themselves at a chosen point; `python -m tests.runs.killing` is told what to do.

Every fork of the warmed-up parent carries out one run. An *event* is a step of the work after which a kill may
come: a training window, a pruning, a rewind, a measurement, rows, a record's save, and in it each opening, flush and
rename of a file.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmark.config.options import run_config
from benchmark.errors import Interrupted
from benchmark.records.record import Record
from benchmark.records.rows import Rows
from benchmark.runs.execution import carry_out
from benchmark.training import runner, trainer

OPTIONS = {
    "pruner": "lottery_ticket(rounds=2, rewind_step=3)",
    "train.epochs": 2,
    "retrain.epochs": 1,
    "train_limit": 250,
    "train.batch_size": 100,
    "wandb": "off",
    "device": "cpu",
}


FILE_EVENTS = ((Rows, "append"), (os, "truncate"), (Path, "open"), (os, "fsync"), (Path, "replace"), (Path, "unlink"))
WORK = (
    (trainer.Trainer, "_train_window"),
    (trainer.Trainer, "_end_epoch"),
    (runner.Runner, "_prune"),
    (runner.Runner, "_rewind"),
    (runner.Runner, "_measure"),
    (trainer.Trainer, "save"),
    (Record, "update_status"),
    (Record, "save"),
)


class Events:
    """Counts events; at number `fatal` it sends this process `number`."""

    def __init__(self, fatal: int | None, number: int) -> None:
        self.fatal, self.number = fatal, number
        self.names: list[str] = []

    def happen(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) == self.fatal:
            os.kill(os.getpid(), self.number)

    def around(self, owner: Any, name: str) -> None:
        """Make an event before and after each call of the function `name` of `owner`."""
        function: Callable[..., Any] = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and "xb" not in args:  # reading changes nothing
                return function(*args, **kwargs)
            self.happen(f"before {name}")
            found = function(*args, **kwargs)
            self.happen(f"after {name}")
            return found

        setattr(owner, name, watched)


def run(
    results: Path, fatal: int | None = None, number: int = signal.SIGKILL, files_only: bool = False, seconds: float = 0
) -> tuple[int, list[str]]:
    """Carry out the run in a fork, killed at event `fatal`; its exit status, negative for a signal, and events.

    Without `seconds` between them there is a checkpoint after every epoch and phase.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        trainer.CHECKPOINT_SECONDS = seconds
        code = _child(results, Events(fatal, number), FILE_EVENTS if files_only else (*WORK, *FILE_EVENTS), writer)
        os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, json.loads(text) if text else []


def _child(results: Path, events: Events, watched: Sequence[tuple[Any, str]], writer: int) -> int:
    for owner, name in watched:
        events.around(owner, name)
    try:
        outcome = carry_out(run_config({**OPTIONS, "results": results}))
    except Interrupted as error:
        return error.args[0]
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        return 1
    with os.fdopen(writer, "w") as pipe:
        json.dump(events.names, pipe)
    return 0 if outcome.state == "done" else 3


def _spread(names: list[str], kills: int) -> list[int]:
    """Numbers of events: one of every kind, from the middle of the run, and others evenly spaced."""
    every = {name: [i for i, n in enumerate(names, start=1) if n == name] for name in names}
    chosen = {where[len(where) // 2] for where in every.values()}
    others = kills - len(chosen)
    return sorted(chosen | {1 + i * (len(names) - 1) // (others - 1) for i in range(others)})


def main(folder: Path, kills: int) -> None:
    """Kill about `kills` runs with many checkpoints and as many with few, resume each; kill one run again and again.

    Prints what was done.
    """
    torch.set_num_threads(1)
    carry_out(run_config({**OPTIONS, "results": folder / "warm"}))  # what is imported and cached here, all forks have
    _, names = run(folder / "whole")
    _, fewer = run(folder / "rarely", seconds=10)
    found: dict[str, Any] = {"events": len(names), "killed": [], "chain": [], "storm": []}
    kinds = [(0, names, fatal) for fatal in _spread(names, kills)] + [(10, fewer, f) for f in _spread(fewer, kills)]
    for i, (seconds, events, fatal) in enumerate(kinds):
        number = signal.SIGTERM if i % 3 == 2 else signal.SIGKILL
        first, _ = run(folder / f"killed-{i}", fatal, number, seconds=seconds)
        last, _ = run(folder / f"killed-{i}", seconds=seconds)
        found["killed"].append({"event": events[fatal - 1], "number": int(number), "first": first, "last": last})
    for _ in range(50):
        status, _ = run(folder / "chain", len(names) // 4)
        found["chain"].append(status)
        if status == 0:
            break
    for fatal in range(1, 200):
        status, _ = run(folder / "storm", fatal, files_only=True)
        found["storm"].append(status)
        if status == 0:
            break
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
