"""The same run again, from its record, and whether it came out equal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.config import recorded_options, run_config
from benchmark.errors import UserError
from benchmark.records import METRICS, Record, Row, read_json
from benchmark.runs.execution import Outcome, carry_out

TIMES = {name for name, metric in METRICS.items() if metric.unit in ("s", "ms", "images/s")}  # never the same twice
MEASURED = ("latency", "speedup_measured")  # how the names of what depends on the machine's speed begin


@dataclass(frozen=True)
class Repeated:
    """How the second run ended, and in what it differs from the first; nothing where it is equal.

    `in_one` are numbers that only one of them measured, as another version does.
    """

    outcome: Outcome
    differing: list[str]
    in_one: list[str]


def rerun(folder: Path, out: Path) -> Repeated:
    """Do the finished run in `folder` again, in the results folder `out`, with as many threads, and compare.

    Raises UserError where there is no finished run, where this version would make another run of its options, and
    where `out` is the results folder that the run lies in.
    """
    first = Record(folder)
    options = recorded_options(folder)
    if not first.done:
        raise UserError(f"the run in {folder} is not finished ({': '.join(filter(None, first.standing))})")
    if out.resolve() == folder.resolve().parent.parent:
        raise UserError(f"{out} holds the run itself; choose another folder with --out")
    threads = read_json(folder / "environment.json").get("hardware", {}).get("threads")
    here = {"results": str(out), "wandb": "off", "trackers": (), "threads": options.get("threads") or threads}
    config = run_config({**options, **here})
    if config.id != (known := read_json(folder / "config.json")["id"]):
        commit = read_json(folder / "environment.json").get("commit")
        raise UserError(
            f"this version makes another run of these options ({config.id[:8]}, not {known[:8]}); "
            f"the run was made with commit {commit}"
        )
    outcome = carry_out(config)
    if outcome.state != "done":
        return Repeated(outcome, [], [])
    second = Record(outcome.folder)
    rows = {
        name: (first.read_rows(f"{name}.jsonl"), second.read_rows(f"{name}.jsonl")) for name in ("epochs", "points")
    }
    differing = [line for name, (ours, theirs) in rows.items() for line in _differing(name, ours, theirs)]
    in_one = {n for pair in rows.values() for a, b in zip(*pair, strict=False) for n in _compared(a) ^ _compared(b)}
    return Repeated(outcome, differing, sorted(in_one))


def _differing(what: str, ours: Sequence[Row], theirs: Sequence[Row]) -> Iterator[str]:
    if len(ours) != len(theirs):
        yield f"{len(ours)} {what}, and {len(theirs)} the second time"
    for number, (a, b) in enumerate(zip(ours, theirs, strict=False), 1):
        if differ := [n for n in sorted(_compared(a) & _compared(b)) if a[n] != b[n]]:
            yield f"row {number} of {what}: {', '.join(_told(n, a[n], b[n]) for n in differ)}"


def _compared(row: Row) -> set[str]:
    """The names of its numbers but for those that depend on the machine's speed."""
    return {name for name in row if name not in TIMES and not name.startswith(MEASURED)}


def _told(name: str, a: object, b: object) -> str:
    return f"{name} {a} and {b}" if isinstance(a, int | float) and isinstance(b, int | float) else name
