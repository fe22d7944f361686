"""The commands for records that are there: side by side, again, held to what was written, without what can go."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UserError


def here(place: Path, trust_code: bool = False) -> Path:
    """The folder of a run or of results; one on W&B, wandb:ENTITY/PROJECT[/RUN], is fetched."""
    from benchmark.tracking import SOURCE, fetch_records

    return fetch_records(str(place), Path("results"), trust_code) if str(place).startswith(SOURCE) else place


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Say what differs between two runs, two results folders, or two methods of a folder."""

    a: str  # a run, RESULTS/runs/NAME, or a results folder; with --results a method
    b: str  # another of the same kind
    results: Path | None = None  # the folder in which a and b are methods


def compare(command: Compare) -> int:
    from reports.comparison import compare as comparisons

    for part in comparisons(command.a, command.b, command.results):
        print(part.text, end="\n\n")
    return 0


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """Do a finished run again from its record, and say whether it came out equal."""

    run: Path  # the folder of a finished run, RESULTS/runs/NAME, or wandb:ENTITY/PROJECT/RUN
    out: Path = Path("rerun")  # the results folder of the second run, not that of the first
    trust_code: bool = False  # run the code of its owner's that a run from W&B comes with


def rerun(command: Rerun) -> int:
    from benchmark.runs import rerun as repeat

    found = repeat(here(command.run, command.trust_code), command.out)
    if found.outcome.state != "done":
        print(f"{found.outcome.state}: {found.outcome.reason}  {found.outcome.folder}")
        return 1
    for line in found.differing:
        print(line)
    if found.in_one:
        print(f"measured in one of them only: {', '.join(found.in_one)}")
    said = "differs from the first" if found.differing else "equal, to the digests of weights and masks"
    print(f"{said}  {found.outcome.folder}")
    return 1 if found.differing else 0


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Hold records against their digests, and finished networks against what was measured of them."""

    records: Path  # a results folder, or a run in it; wandb:ENTITY/PROJECT[/RUN]: what W&B keeps
    trust_code: bool = False  # run the code of its owner's that a run from W&B comes with


def verify(command: Verify) -> int:
    from benchmark.runs import verify as verified

    finished = wrong = 0
    for found in verified(here(command.records, command.trust_code)):
        finished += found.state == "done" or bool(found.wrong)
        wrong += bool(found.wrong)
        if found.wrong or found.state != "done":
            print(f"{found.folder}: {'; '.join(found.wrong) or found.state}", flush=True)
    print(f"{finished - wrong} of {finished} finished runs and dense trainings are as they were written")
    return 1 if wrong else 0


@dataclass(frozen=True, kw_only=True)
class Clean:
    """Remove from a results folder what no run needs any more: checkpoints of finished runs, dense trainings."""

    results: Path  # a results folder
    yes: bool = False  # do not ask


def clean(command: Clean) -> int:
    from benchmark.runs import removable, remove

    found = removable(command.results)
    sizes: Counter[str] = Counter()
    for each in found:
        sizes[each.what] += each.bytes
    for what, size in sizes.items():
        print(f"{sum(each.what == what for each in found):6d}  {size / 1e6:10.1f} MB  {what}")
    if not found:
        print(f"nothing in {command.results} can go")
        return 0
    if not command.yes:
        if not sys.stdin.isatty():
            raise UserError("clean asks before it removes, and nobody can answer here; --yes removes what is listed")
        print("remove these? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):  # nothing at its end, where input() raises
            print("nothing was removed")
            return 0
    print(f"{remove(found) / 1e6:.1f} MB removed")
    return 0
