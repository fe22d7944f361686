"""What runs are called in a report: the setting they are compared in, the method's label, the name of a folder."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.records import RunRecord
from reports.schema import SPARSITY, Belongs

SETTING = ("dataset", "model", "train.optimizer")  # names a setting; in what else settings differ comes behind
OF_ALL = ("seed", "protocol")  # of the dense training, and no part of a setting's conditions


@dataclass(frozen=True)
class Label:
    """A method as a report calls it."""

    text: str  # with its marks
    plain: str  # its name and the options in which its runs differ
    method: str  # its name alone
    target: float | str | None  # what was asked for: a sparsity, else the option that says how much goes


def by_setting(runs: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """The runs that are compared with each other, by the name of their setting, sorted.

    A name has the dataset, the network, the optimiser, in what else the settings of these under one protocol differ,
    and the protocol. So runs of another protocol change nothing of it.
    """
    peers: defaultdict[tuple[str, str], list[RunRecord]] = defaultdict(list)
    for run in runs:
        peers[" · ".join(str(run.config[k]) for k in SETTING), run.rules].append(run)
    found: dict[str, list[RunRecord]] = {}
    for (base, rules), mine in peers.items():
        conditions = _comparable(mine, "dense", OF_ALL)
        for run, name in zip(mine, _named(base, conditions, " · {}", " · "), strict=True):
            found.setdefault(f"{name} · {rules}", []).append(run)
    return {name: found[name] for name in sorted(found)}


def labels(runs: Sequence[RunRecord]) -> list[Label]:
    """The label of each run's method in its setting: its name, with the options in which runs of that name differ.

    Runs that differ in the option that says how much goes have one label, and targets: they are one curve. One that
    came before methods said which that is, is read as the method's others.
    """
    short = {method: method.rsplit(":", 1)[-1] for method in {run.method for run in runs}}
    shared = {name for name, count in Counter(short.values()).items() if count > 1}
    short = {method: method if name in shared else name for method, name in short.items()}
    by_method: defaultdict[str, list[int]] = defaultdict(list)
    for number, run in enumerate(runs):
        by_method[run.method].append(number)
    found: dict[int, Label] = {}
    for method, numbers in by_method.items():
        mine = [runs[n] for n in numbers]
        knob = next((run.head.method.knob for run in mine if run.head.method.knob != SPARSITY), SPARSITY)
        options = _comparable(mine, "run", ("pruner", knob))
        plain = _named(short[method], options, " ({})", ", ")
        for n, text in zip(numbers, plain, strict=True):
            found[n] = Label(text + runs[n].marks, text, short[method], _target(runs[n], knob))
    return [found[n] for n in range(len(runs))]


def folder_name(setting: str) -> str:
    """A short folder name for a setting: none has that of another, whatever they are called and the file system."""
    plain = r"[a-z0-9][a-z0-9_.=]*( · [a-z0-9_.=]+)* · protocol \d+( paper)?"
    if len(setting) <= 80 and re.fullmatch(plain, setting):
        return setting.replace(" · ", "-").replace(" ", "-")
    return f"{re.sub(r'[^a-z0-9_.=]+', '-', setting.lower()).strip('-.')[:60]}-{short_digest(setting)}"


def _target(run: RunRecord, knob: str) -> float | str | None:
    value = run.config.get(knob)
    return value if value is None or knob == SPARSITY else f"{knob.removeprefix('pruner.')}={value}"


def _named(name: str, options: list[dict[str, Any]], form: str, between: str) -> list[str]:
    """The name with the options in which these differ, for each; equal only where all options are."""
    keys = sorted({key for each in options for key in each})
    differing = [key for key in keys if len({_text(each, key) for each in options}) > 1]
    names = []
    exact: defaultdict[str, set[str]] = defaultdict(set)
    for each in options:
        shown = between.join(f"{key.removeprefix('pruner.')}={each.get(key)}" for key in differing)
        names.append((name + form.format(shown) if shown else name, "\n".join(_text(each, key) for key in differing)))
        exact[names[-1][0]].add(names[-1][1])
    return [f"{shown} #{short_digest(full)}" if len(exact[shown]) > 1 else shown for shown, full in names]


def _comparable(runs: Sequence[RunRecord], kind: Belongs, without: Sequence[str]) -> list[dict[str, Any]]:
    """The options of each run by which it is told from the others.

    An option that some record lacks came later, or went: at its default it is what was done without it.
    """
    options = [_without(run.head.options(kind), without) for run in runs]
    everywhere = set(options[0]).intersection(*options[1:])
    return [
        {k: v for k, v in each.items() if k in everywhere or run.head.differs is None or k in run.head.differs}
        for run, each in zip(runs, options, strict=True)
    ]


def _without(options: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in names}


def _text(options: Mapping[str, Any], name: str) -> str:
    return json.dumps(options.get(name))


def short_digest(text: str) -> str:
    """What tells long or odd names apart in eight characters."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]
