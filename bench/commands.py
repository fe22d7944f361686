"""Commands as a user meets them: start-up, the catalogue, jobs, reports of many runs."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.timing import Figure, Work, compare, cost, spread, timed
from benchmark.config import run_config
from benchmark.records import Record, Row
from benchmark.runs import Progress, carry_out

# The moment of the first optimiser step ends the process: what came before is start-up.
FIRST_STEP = """
import os, sys
from benchmark.training import trainer
trainer.train_steps = lambda *arguments, **more: os._exit(0)
from benchmark.cli import main
main(["run", "--pruner=snip", "--wandb=off", "--threads=1", "--results", sys.argv[1]])
"""
# A report, and then the most memory in MB that its process and those that draw had, each when it had most. On Linux
# getrusage of a process counts what it was forked from too.
REPORT = """
import pathlib, resource, sys
from benchmark.cli import main
from benchmark.records import cores
from reports import PROCESSES
try: main(sys.argv[1:])
except SystemExit: pass
status = pathlib.Path("/proc/self/status")
if status.exists(): own, unit = int(status.read_text().partition("VmHWM:")[2].split()[0]), 2**10
else: own, unit = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 2**20
print((own + min(cores(), PROCESSES) * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / unit)
"""
POINTS = 21  # of a run in a report: dense, and ten rounds before and after retraining
SWEEP = """
parameters:
  pruner: {values: [snip(sparsity=0.5), snip(sparsity=0.75), snip(sparsity=0.9), random(sparsity=0.9)]}
  seed: {values: [0, 1, 2, 3]}
  train.epochs: {value: 150}
method: grid
"""


def figures(quick: bool) -> Iterator[Figure]:
    """Times of processes, from their start to their end."""
    repeats = 1 if quick else 5
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch = _python("-c", "import os, torch; os._exit(0)")  # as the other ends, without taking down
        first = _python("-c", FIRST_STEP, str(folder / "first"))
        yield cost("first step of a run on digits", first, torch, repeats, "times import torch")
        yield timed("prunebench --help", _python("-m", "benchmark", "--help"), repeats)
        yield timed("prunebench list", _python("-m", "benchmark", "list"), repeats)
        for count in (3,) if quick else (42, 2000):
            yield from _report(_results(folder / f"of_{count}", count), count)
        if not quick:
            yield _jobs(folder, repeats=2)


def _jobs(folder: Path, repeats: int) -> Figure:
    """Sixteen runs of three seconds, by one process, and by two, each of which imports torch once more."""
    file = folder / "sweep.yaml"
    file.write_text(SWEEP)
    made = iter(range(1000))

    def sweep(jobs: int) -> Work:
        def work() -> None:
            results = str(folder / f"jobs_{next(made)}")
            _python("-m", "benchmark", "sweep", str(file), "--wandb=off", f"--jobs={jobs}", f"--results={results}")()

        return work

    return compare("16 runs on digits with --jobs 2", sweep(1), sweep(2), repeats, "times the speed of one job")


def _report(results: Path, count: int) -> Iterator[Figure]:
    """Seconds of a report with its pages, and the most memory that it had."""
    said: list[str] = []

    def report() -> None:
        command = [sys.executable, "-c", REPORT, "report", str(results)]
        said.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    what = f"report of {count:,} runs of {POINTS} points"
    yield timed(what, report, 1)
    yield spread(f"memory of a {what}", [float(said[-1].split()[-1])], "MB")


def _results(folder: Path, count: int) -> Path:
    """A results folder with `count` runs: one that is done, under other seeds and methods, with other accuracies."""
    config = run_config({
        "pruner": "magnitude(rounds=10, sparsity=0.98)", "train.epochs": 2, "retrain.epochs": 1, "wandb": "off",
        "results": folder / "made",
    })  # fmt: skip
    outcome = carry_out(config, Progress(config, show=False))
    made = Record(outcome.folder)
    head, environment, status = (made.read_json(f"{name}.json") for name in ("config", "environment", "status"))
    rows = {name: made.read_rows(name) for name in ("epochs.jsonl", "points.jsonl")}
    for number in range(count):
        run = Record(folder / "runs" / f"run-{number:05d}")
        run.folder.mkdir(parents=True)
        method = "dense" if number % 14 == 0 else f"magnitude_{number % 14}"
        options = {**head["config"], "seed": number // 14, "pruner": method}
        about = {
            **head,
            "id": f"{number:016x}",
            "name": run.folder.name,
            "config": options,
            "method": {"label": method},
        }
        run.write_json("config.json", about)
        run.write_json("environment.json", environment)
        drawn = random.Random(number)
        for name, found in rows.items():
            run.write_rows(name, [_moved(row, drawn) for row in found])
        (run.folder / "network.pt").write_bytes((made.folder / "network.pt").read_bytes())
        ends = {file.path.name: file.end for file in (run.epochs, run.points)}
        run.write_json("status.json", {**status, "rows": ends})
    return folder


def _moved(row: Row, drawn: random.Random) -> Row:
    """A row with a little less accuracy, as another seed has it; the dense network is the same for all."""
    less = 0.01 * drawn.random() if row["round"] else 0.0
    return {k: max(0.0, v - less) if k in ("top1", "val_top1") else v for k, v in row.items() if k != "chain"}


def _python(*arguments: str) -> Work:
    return lambda: subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
