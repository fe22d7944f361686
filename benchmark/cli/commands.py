"""The command `prunebench`. Heavy imports wait until they are needed: `--help` never loads torch."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NoReturn

from benchmark.errors import Interrupted, UserError, unknown

COMMANDS = {
    "run": "train, prune and measure once",
    "sweep": "carry out all runs of a W&B sweep file, without a server",
    "report": "build tables, figures and a page from the records of a results folder",
    "list": "the methods with their options, the networks, the datasets, the recipes",
    "data": "fetch or verify a dataset and say what is in it",
    "export": "write the pruned network of a run to files that load without this package",
    "mirror": "send the records of a results folder to W&B; what is there already is not sent twice",
}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit: 0 done, 1 a run failed, 2 bad input, 128 + n stopped by signal n."""
    from benchmark.runs import interruptible

    with interruptible(for_good=True):
        try:
            sys.exit(_command(list(sys.argv[1:] if arguments is None else arguments)))
        except UserError as error:
            print(f"prunebench: {error}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt as error:
            print("prunebench: stopped; the same command again goes on from here", file=sys.stderr)
            sys.exit(error.args[0] if isinstance(error, Interrupted) else 130)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(141)
        except OSError as error:
            where = f" {error.filename}" if error.filename else ""
            print(f"prunebench: {error.strerror or error}:{where}; nothing half-written is left", file=sys.stderr)
            sys.exit(1)


def _command(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(version("nnrelief-bench"))
        return 0
    name, rest = arguments[0], [_underscored(a) for a in arguments[1:]]
    if name not in COMMANDS:
        raise unknown("command", name, COMMANDS, "see prunebench --help")
    return _ACTIONS[name](rest)


def _run(arguments: list[str]) -> int:
    from benchmark.config import print_help, read_arguments, run_config

    if "-h" in arguments or "--help" in arguments:
        options = read_arguments([a for a in arguments if a not in ("-h", "--help")])
        print_help(
            options, f"{COMMANDS['run']}; a method's own options: prunebench run --pruner NAME --help", sys.stdout
        )
        return 0
    config = run_config(read_arguments(arguments))
    from benchmark.runs import carry_out

    outcome = carry_out(config)
    _say_points(outcome.folder)
    reason = f": {outcome.reason}" if outcome.reason else ""
    print(f"{outcome.state}{reason}  {outcome.folder}")
    return 0 if outcome.state == "done" else 1


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


def _sweep(arguments: list[str]) -> int:
    parser = _parser("sweep", "FILE [options] [options of run, which hold for every run]")
    parser.add_argument("file", type=Path, help="a W&B sweep file")
    parser.add_argument(
        "--jobs", type=number_or_auto, help="runs at a time, each in a process (default 1); auto: fill the cores"
    )
    parser.add_argument("--dry_run", action="store_true", help="print the runs, how they stand and what they cost")
    parser.add_argument("--retry_failed", action="store_true", help="do failed and diverged runs again")
    parser.add_argument("--ray", metavar="ADDRESS", help="on a Ray cluster; local: one on this machine")
    parser.add_argument("--cpus_per_run", type=float, help="with --ray: processors for each run (default 1)")
    parser.add_argument("--gpus_per_run", type=float, help="with --ray: 0.25 lets four runs share one (default 0)")
    parser.add_argument("--count", type=int, help="how many runs of a random sweep")
    parser.add_argument("--sweep_seed", type=int, default=0, help="of a random sweep (default 0)")
    known, rest = parser.parse_known_args(arguments)
    from benchmark.sweep import choose_crew

    crew = choose_crew(known.jobs, known.ray, known.cpus_per_run, known.gpus_per_run)
    from benchmark.config import read_arguments
    from benchmark.sweep import sweep_runs

    runs = sweep_runs(known.file, read_arguments(rest), known.count, known.sweep_seed)
    from benchmark.sweep import execute, print_costs

    if known.dry_run:
        print_costs(runs)
        return 0
    return execute(runs, crew, known.retry_failed)


def number_or_auto(text: str) -> int | Literal["auto"]:
    return "auto" if text == "auto" else int(text)


def _report(arguments: list[str]) -> int:
    parser = _parser("report", "DIR | --wandb ENTITY/PROJECT[/SWEEP] [--out DIR]")
    parser.add_argument("results", type=Path, nargs="?", help="a results folder")
    parser.add_argument("--wandb", metavar="ENTITY/PROJECT[/SWEEP]", help="the runs on W&B instead of a folder's")
    parser.add_argument("--out", type=Path, help="where the report goes (default DIR/report; for W&B: report)")
    known = parser.parse_args(arguments)
    if (known.results is None) == (known.wandb is None):
        raise UserError("report takes either a results folder or --wandb ENTITY/PROJECT[/SWEEP]")
    from reports import build, build_from_wandb, summary_text

    found = build(known.results, known.out) if known.wandb is None else build_from_wandb(known.wandb, known.out)
    print(summary_text(found))
    return 0


def _export(arguments: list[str]) -> int:
    parser = _parser("export", "RUN [--format safetensors|onnx|torch] [--out DIR]")
    parser.add_argument("run", type=Path, help="the folder of a finished run: RESULTS/runs/NAME")
    parser.add_argument("--format", default="safetensors", help="safetensors (default), onnx or torch")
    parser.add_argument("--out", type=Path, help="where the files go (default RUN/export)")
    known = parser.parse_args(arguments)
    from benchmark.runs import export_run

    for file in export_run(known.run, known.format, known.out or known.run / "export"):
        print(file)
    return 0


def _list(arguments: list[str]) -> int:
    parser = _parser("list", "[methods|networks|datasets|recipes]")
    parser.add_argument("what", nargs="?", choices=["methods", "networks", "datasets", "recipes"])
    known = parser.parse_args(arguments)
    from benchmark.cli.catalogue import print_catalogue

    print_catalogue(known.what)
    return 0


def _data(arguments: list[str]) -> int:
    parser = _parser("data", "NAME [--data_dir DIR] [--allow_unverified_data]")
    parser.add_argument("name", help="a dataset of `prunebench list datasets`")
    parser.add_argument("--data_dir", type=Path, help="default: $PRUNEBENCH_DATA, else ./data")
    parser.add_argument(
        "--allow_unverified_data", action="store_true", help="accept files that differ from the published"
    )
    known = parser.parse_args(arguments)
    from benchmark.config import data_folder
    from benchmark.data import describe

    print(describe(known.name, data_folder(known.data_dir), allow_unverified=known.allow_unverified_data))
    return 0


def _mirror(arguments: list[str]) -> int:
    parser = _parser("mirror", "DIR [--wandb online|offline|auto] [--project NAME] [--entity NAME]")
    parser.add_argument("results", type=Path, help="a results folder")
    parser.add_argument(
        "--wandb", choices=["online", "offline", "auto"], default="auto", help="auto: online if a key is there"
    )
    parser.add_argument("--project", default="nnrelief-bench", help="of W&B")
    parser.add_argument("--entity", help="of W&B")
    known = parser.parse_args(arguments)
    if not any((known.results / name).exists() for name in ("runs", "config.json")):
        raise UserError(f"no records in {known.results}; give the folder of a sweep's --results")
    from benchmark.tracking import mirror_records

    for line in mirror_records(known.results, known.wandb, known.project, known.entity):
        print(line, flush=True)
    return 0


_ACTIONS: dict[str, Callable[[list[str]], int]] = {
    "run": _run,
    "sweep": _sweep,
    "report": _report,
    "list": _list,
    "data": _data,
    "export": _export,
    "mirror": _mirror,
}


class _Parser(argparse.ArgumentParser):
    """argparse with its errors in one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def _parser(command: str, usage: str) -> argparse.ArgumentParser:
    prog = f"prunebench {command}"
    return _Parser(prog=prog, usage=f"{prog} {usage}", description=COMMANDS[command], allow_abbrev=False)


def _underscored(argument: str) -> str:
    """`--dry-run=x-y` with its name, not its value, in underscores."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}"


def _usage() -> str:
    lines = [f"  {name:8s}{what}" for name, what in COMMANDS.items()]
    head = ["usage: prunebench COMMAND [options]", "", "Compares neural-network pruning methods on equal terms.", ""]
    return "\n".join([*head, *lines, "", "prunebench COMMAND --help says more of each."])
