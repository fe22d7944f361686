"""What is in no average, or stands on too little, with the reason: nothing is dropped silently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pandas as pd

from reports.curves import Method, Setting
from reports.records import RunRecord
from reports.selection import incomplete
from reports.tables import Table


def problems(runs: list[RunRecord], settings: list[Setting]) -> Table:
    """Runs that failed, are damaged, unfinished or copies, collapsed points, and what is ambiguous or thin."""
    copies = Counter((run.source, run.copy_of) for run in runs if run.copy_of not in ("", run.source))
    rows = [
        (f"{n} runs of {here}", f"the same are in {there}; each counts once") for (here, there), n in copies.items()
    ]
    rows += [(run.name, run.problem) for run in runs if run.problem and (run.source, run.copy_of) not in copies]
    for run in runs:
        if rounds := sorted({p.round for p in run.points if p.collapsed and p.stage == "trained"}):
            rows.append((run.name, f"collapsed (it says the same of every image) in rounds {_listed(rounds)}"))
    for setting in settings:
        rows += setting.problems
        for method in setting.methods.values():
            rows += [(f"{method.label}: {setting.name}", why) for why in _thin(setting, method)]
    frame = pd.DataFrame(rows, columns=["run", "why"])
    title = "Failed, unfinished, damaged, collapsed and thin"
    note = "None of these is dropped silently; what the reason does not say otherwise counts"
    return Table("problems", title, note, frame, frame)


def _thin(setting: Setting, method: Method) -> Iterator[str]:
    if alone := sorted(set(method.seeds) - setting.dense.keys()):
        yield f"no dense run of seeds {_listed(alone)} to compare with: --pruner dense makes it"
    if few := [seed for seed in method.seeds if len(method.of_seed(seed)) < 5]:
        yield f"fewer than five operating points for seeds {_listed(few)}"
    if partly := incomplete(setting, method):
        points = "; ".join(f"target {target}, round {round_}" for target, round_ in partly[:10])
        more = f" and {len(partly) - 10} more" if len(partly) > 10 else ""
        yield f"not measured for all seeds, so in no choice of the smallest network: {points}{more}"
    if len(method.seeds) < 3:
        yield f"fewer than the three seeds of the protocol: {_listed(method.seeds)}"


def _listed(numbers: list[int]) -> str:
    """The numbers, the first ten at most."""
    return ", ".join(map(str, numbers[:10])) + (f" and {len(numbers) - 10} more" if len(numbers) > 10 else "")
