"""What is in no average, stands on too little or was made by other rules, with the reason: nothing goes unsaid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pandas as pd

from reports.curves import Method, Setting, said
from reports.records import MARKS, RunRecord
from reports.selection import incomplete
from reports.table import Table

Row = tuple[str, str, str]  # kind, of what, why
ENDED = ("failed", "diverged", "interrupted", "running", "held")  # how a run stands that is a kind of problem
NOTE = (
    "Failed and diverged runs count with the accuracy of chance where they ended, and collapsed points with theirs; "
    "damaged, unfinished, ambiguous and copied ones count nowhere; the other kinds count, and say how far to trust them"
)


def problems(runs: list[RunRecord], settings: list[Setting]) -> Table:
    """All that a reader of the tables has to know, by kind."""
    rows = [*_of_runs(runs), *_of_rules(settings)]
    for setting in settings:
        rows += [("ambiguous", what, why) for what, why in setting.problems]
        for method in setting.methods.values():
            rows += [(kind, f"{method.label}: {setting.name}", why) for kind, why in _of_method(setting, method)]
    frame = pd.DataFrame(rows, columns=["kind", "run", "why"])
    title = "Failed, missing, collapsed, thin, and made by other rules"
    return Table("problems", title, NOTE, frame, frame)


def _of_runs(runs: list[RunRecord]) -> Iterator[Row]:
    copies = Counter((run.source, run.copy_of) for run in runs if run.copy_of not in ("", run.source))
    for (here, there), count in copies.items():
        yield "copy", f"{count} runs of {here}", f"the same are in {there}; each counts once"
    for run in runs:
        if run.problem and (run.source, run.copy_of) not in copies:
            yield _kind(run), run.name, run.problem
    for run in runs:
        if rounds := sorted({p.round for p in run.points if p.collapsed and p.stage == "trained"}):
            yield "collapsed", run.name, f"collapsed (it says the same of every image) in rounds {_listed(rounds)}"


def _kind(run: RunRecord) -> str:
    if run.problem.startswith("damaged"):
        return "damaged"
    if not run.config:  # counted elsewhere, or its numbers differ from those
        return "copy"
    return run.status.state if run.status.state in ENDED else "missing"


def _of_rules(settings: list[Setting]) -> Iterator[Row]:
    """Runs that picked on test data, that read other data files, or that were made under an earlier protocol."""
    newest = max((run.head.protocol_number or 0 for s in settings for run, _ in s.runs), default=0)
    for setting in settings:
        runs = [run for run, _ in setting.runs]
        kinds = {
            "test-selected": (sum("†" in run.marks for run in runs), MARKS["†"]),
            "unverified data": (
                sum("‡" in run.marks for run in runs),
                MARKS["‡"],
            ),
            "other protocol": (
                sum((run.head.protocol_number or 0) < newest for run in runs),
                f"made by earlier rules than those of protocol {newest}; never compared with them",
            ),
        }
        for kind, (count, why) in kinds.items():
            if count:
                yield kind, f"{count} of {len(runs)} runs: {setting.name}", why


def _of_method(setting: Setting, method: Method) -> Iterator[tuple[str, str]]:
    if alone := sorted(set(method.seeds) - setting.dense.keys()):
        yield "missing", f"no dense run of seeds {_listed(alone)} to compare with: --pruner dense makes it"
    if missing := sorted(setting.dense.keys() - set(method.seeds)):
        yield "missing", f"no run of seeds {_listed(missing)}, which have a dense network"
    if partly := incomplete(setting, method):
        points = "; ".join(map(said, partly[:10]))
        more = f" and {len(partly) - 10} more" if len(partly) > 10 else ""
        yield "missing", f"not measured for all seeds, so in no choice of the smallest network: {points}{more}"
    if few := [seed for seed in method.seeds if len(method.of_seed(seed)) < 5]:
        yield "thin", f"fewer than five operating points for seeds {_listed(few)}"
    if len(method.seeds) < 3:
        yield "thin", f"fewer than the three seeds of the protocol: seed {_listed(method.seeds)}"


def _listed(numbers: list[int]) -> str:
    """The numbers, the first ten at most."""
    return ", ".join(map(str, numbers[:10])) + (f" and {len(numbers) - 10} more" if len(numbers) > 10 else "")
