"""The commands. To add one: a dataclass of its options, a function that takes it, a line in COMMANDS."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt

from benchmark.cli.command import Command
from benchmark.cli.record_commands import Clean, Compare, Rerun, Verify, clean, compare, here, rerun, verify
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.config import RunConfig

Count = Annotated[int, Ge(1)]
REFERENCE = "dense"  # the method whose runs the others are compared with


@dataclass(frozen=True, kw_only=True)
class Run:
    """Train, prune and measure once."""

    profile: bool = False  # say where the time went, and leave a trace beside the records; slower
    runs: dict[str, Any] = field(default_factory=dict)


def run(command: Run) -> int:
    from benchmark.config import run_config
    from benchmark.runs import carry_out, outcome_of
    from benchmark.tracking import as_given, in_sweep, told_to_sweep

    options = as_given(command.runs)
    try:
        with told_to_sweep(options):
            config = run_config(options)
        before = outcome_of(config).state
        with _profile(command.profile, lambda: outcome_of(config).folder / "trace.json.gz"):
            outcome = carry_out(config)
    except UserError as error:
        error.status = 0 if in_sweep() else UserError.status  # an agent that sees failures gives up: W&B is told
        raise
    _say_points(outcome.folder)
    reason = f": {outcome.reason}" if outcome.reason else ""
    print(f"{'done before' if before == 'done' else outcome.state}{reason}  {outcome.folder}")
    if before == "done" and config.settings.measure_latency:
        print(f"a finished run is not measured again: prunebench latency {outcome.folder}", file=sys.stderr)
    if before == "done" and (kept := config.settings.log_model) != "none" and not in_sweep():
        print(
            f"a finished run leaves its network with: prunebench mirror {outcome.folder} --log_model {kept}",
            file=sys.stderr,
        )
    if outcome.state == "done" and not _has_reference(config):
        changed = {k: v for k, v in options.items() if not k.startswith("pruner")} | {"pruner": REFERENCE}
        words = shlex.join(f"--{name}={value}" for name, value in changed.items())
        print(f"no dense run to compare it with lies beside it: prunebench run {words}", file=sys.stderr)
    return 0 if outcome.state == "done" or (in_sweep() and outcome.state in ("failed", "diverged")) else 1


def _profile(wanted: bool, trace: Callable[[], Path]) -> contextlib.AbstractContextManager[None]:
    if not wanted:
        return contextlib.nullcontext()
    from benchmark.training import profiled

    return profiled(print, trace)


def _has_reference(config: RunConfig) -> bool:
    """Whether a run of the dense network, trained as this run's is, lies in the same results folder."""
    from benchmark.records import Damaged, Record

    runs = config.settings.results / "runs"
    for folder in runs.glob(f"*-{REFERENCE}*-s{str(config.settings.seed)[:12]}-*"):
        with contextlib.suppress(Damaged):
            if Record(folder).read_json("config.json").get("dense_key") == config.dense_id:
                return True
    return False


def _say_points(folder: Path) -> None:
    """The measured points of a run as a table of plain lines."""
    from benchmark.records import Record

    points = Record(folder).read_rows("points.jsonl")
    if points:
        print("round  stage     top1    sparsity  compression  speed-up (theoretical, structural)")
    for p in points:
        speed = "  ".join(f"{p[k]:8.2f}" if p[k] else "       -" for k in ("speedup_theoretical", "speedup_structural"))
        line = f"{p['round']:5d}  {p['stage']:8s}{p['top1']:8.4f}{p['sparsity_prunable']:10.4f}"
        print(f"{line}{p['compression_params']:13.2f}  {speed}{'  collapsed' if p['collapsed'] else ''}")


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Carry out all runs of a W&B sweep file, without a server.

    Options of a run hold for every run of the sweep.
    """

    file: str  # a W&B sweep file, or the name of a shipped one: digits, mnist, cifar10 ...
    jobs: Count | Literal["auto"] | None = None  # runs at a time, each in a process; auto: fill the cores; None: 1
    dry_run: bool = False  # print the runs, how they stand and what they cost
    retry_failed: bool = False  # do failed and diverged runs again
    ray: str | None = None  # the address of a Ray cluster; local: one on this machine
    cpus_per_run: Annotated[float, Gt(0)] | None = None  # with --ray: processors for each run; None: 1
    gpus_per_run: Annotated[float, Ge(0)] | None = None  # with --ray: 0.25 lets four runs share one; None: 0
    count: Count | None = None  # how many runs of a random sweep; None: its run_cap
    sweep_seed: int = 0  # of a random sweep
    runs: dict[str, Any] = field(default_factory=dict)


def sweep(command: Sweep) -> int:
    from benchmark.sweep import choose_crew, execute, print_costs, sweep_runs

    crew = choose_crew(command.jobs, command.ray, command.cpus_per_run, command.gpus_per_run)
    runs = sweep_runs(command.file, command.runs, command.count, command.sweep_seed)

    if command.dry_run:
        print_costs(runs)
        return 0
    return execute(runs, crew, command.retry_failed)


@dataclass(frozen=True, kw_only=True)
class Report:
    """Build tables, figures and a page from the records of results folders.

    A run that lies in several of them counts once.
    """

    results: tuple[Path, ...] = ()  # results folders; wandb:ENTITY/PROJECT: the records that W&B keeps
    wandb: str | None = None  # ENTITY/PROJECT[/SWEEP]: the runs there too
    with_: Literal["reference"] | None = None  # reference: the shipped methods' runs that come with this package too
    reference: str | None = None  # the method that the others are compared with; None: the best of each setting
    only: tuple[str, ...] = ()  # the methods to show, beside dense; (): all
    style: Literal["paper", "paper-2col", "slides"] = "paper"  # figures for a page, for a column of two, for a screen
    out: Path | None = None  # where the report goes; None: RESULTS/report, for several sources ./report


def report(command: Report) -> int:
    more = (None if command.wandb is None else f"wandb:{command.wandb}", command.with_)
    if not (sources := (*(here(place, trust_code=True) for place in command.results), *filter(None, more))):
        raise UserError("report takes results folders, --wandb ENTITY/PROJECT[/SWEEP], --with reference, or several")
    from reports import build, summary_text

    made = build(*sources, out=command.out, reference=command.reference, only=command.only, style=command.style)
    print(summary_text(made))
    return 0


@dataclass(frozen=True, kw_only=True)
class List:
    """The methods with their options, the networks, the datasets, the recipes, the sweeps and the metrics."""

    what: Literal["all", "methods", "networks", "datasets", "recipes", "sweeps", "metrics"] = "all"  # what is listed


def catalogue(command: List) -> int:
    from benchmark.cli.catalogue import print_catalogue

    print_catalogue(command.what)
    return 0


@dataclass(frozen=True, kw_only=True)
class Data:
    """Fetch or verify a dataset and say what is in it."""

    name: str  # a dataset of `prunebench list datasets`, folder:PATH or path/to/file.py:function
    data_dir: Path | None = None  # None: $PRUNEBENCH_DATA, else ./data
    allow_unverified_data: bool = False  # accept files that differ from the published


def data(command: Data) -> int:
    from benchmark.config import data_folder, images_of
    from benchmark.data import describe

    images = images_of({"dataset": command.name})
    print(describe(images, data_folder(command.data_dir), allow_unverified=command.allow_unverified_data))
    return 0


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write the pruned network of a run to files that load without this package."""

    run: Path  # the folder of a finished run, RESULTS/runs/NAME, or wandb:ENTITY/PROJECT/RUN
    format: Literal["safetensors", "onnx", "torch"] = "safetensors"
    out: Path | None = None  # where the files go; None: RUN/export
    trust_code: bool = False  # run the code of its owner's that a run from W&B comes with


def export(command: Export) -> int:
    from benchmark.runs import export_run

    folder = here(command.run, command.trust_code)
    for file in export_run(folder, command.format, command.out or folder / "export"):
        print(file)
    return 0


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """Send the records of a results folder to W&B; what is there already is not sent twice."""

    results: Path  # a results folder
    wandb: Literal["online", "offline", "auto"] = "auto"  # auto: online if a key is there
    project: str = "nnrelief-bench"  # of W&B
    entity: str | None = None  # of W&B
    log_model: Literal["none", "last", "all"] | None = None  # networks that W&B keeps; None: as each run was asked


def mirror(command: Mirror) -> int:
    if not any((command.results / name).exists() for name in ("runs", "config.json")):
        raise UserError(f"no records in {command.results}; give the folder of a sweep's --results")
    from benchmark.tracking import mirror_records

    for line in mirror_records(command.results, command.wandb, command.project, command.entity, command.log_model):
        print(line, flush=True)
    return 0


@dataclass(frozen=True, kw_only=True)
class WandbSetup:
    """Save a view of a W&B project with the charts of this suite, accuracy against compression first.

    Done again, it takes the place of the one before.
    """

    project: str  # ENTITY/PROJECT


def wandb_setup(command: WandbSetup) -> int:
    from benchmark.tracking import save_workspace

    print(save_workspace(command.project))
    return 0


@dataclass(frozen=True, kw_only=True)
class Check:
    """Hold a method to the contract: tiny networks, all optimisers, a run that is stopped and resumed.

    Options of the method (--pruner.NAME) and of the small run may be given.
    """

    method: str  # a name of `prunebench list methods`, or path/to/file.py:Class
    runs: dict[str, Any] = field(default_factory=dict)


def check(command: Check) -> int:
    from benchmark.runs import check_method

    wrong = 0
    for found in check_method(command.method, command.runs):
        wrong += bool(found.wrong)
        told = f"WRONG   {found.what}: {found.wrong}" if found.wrong else f"ok      {found.what}"
        print(f"refused {found.what}: {found.refused}" if found.refused else told, flush=True)
    print(
        f"{command.method} breaks the contract in {wrong} places" if wrong else f"{command.method} keeps the contract"
    )
    return 1 if wrong else 0


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Measure how long a run's network takes: whole, without its dead units, and in sparse kernels.

    The outputs of all are held against the masked network's. The rows go into RUN/latency.json too.
    """

    run: Path  # the folder of a finished run, RESULTS/runs/NAME, or wandb:ENTITY/PROJECT/RUN
    batch: tuple[Count, ...] = (1, 64)  # images at a time: 1,64
    threads: Count = 1  # that compute
    engines: tuple[str, ...] = ()  # torch, onnxruntime, csr, or others that are installed; none: all of them
    trust_code: bool = False  # run the code of its owner's that a run from W&B comes with


def latency(command: Latency) -> int:
    from benchmark.runs import run_latency

    names = [name for words in command.engines for name in words.split(",") if name]
    for line in run_latency(here(command.run, command.trust_code), command.batch, command.threads, names):
        print(line, flush=True)
    return 0


COMMANDS = {
    command.name: command
    for command in (
        Command("run", Run, run, runs=True),
        Command("sweep", Sweep, sweep, words=("file",), runs=True),
        Command("report", Report, report, words=("results",)),
        Command("compare", Compare, compare, words=("a", "b")),
        Command("list", List, catalogue, words=("what",)),
        Command("data", Data, data, words=("name",)),
        Command("export", Export, export, words=("run",)),
        Command("latency", Latency, latency, words=("run",)),
        Command("check", Check, check, words=("method",), runs=True),
        Command("rerun", Rerun, rerun, words=("run",)),
        Command("verify", Verify, verify, words=("records",)),
        Command("clean", Clean, clean, words=("results",)),
        Command("mirror", Mirror, mirror, words=("results",)),
        Command("wandb_setup", WandbSetup, wandb_setup, words=("project",)),
    )
}
