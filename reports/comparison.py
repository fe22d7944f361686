"""Two runs, two methods or two results folders side by side: what differs in configuration, numbers and masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.errors import UserError
from reports.curves import Setting, settings_of
from reports.differences import paired_differences
from reports.frames import Results
from reports.masks import jaccard, masks_of
from reports.records import ON_WANDB, SHIPPED, RunRecord, read_run, read_sources
from reports.schema import Point
from reports.statistics import estimate
from reports.table import NOTHING, interval
from reports.tables import smallest_networks

DIGITS = 1e-12  # of accuracies that are the same


@dataclass(frozen=True)
class Comparison:
    """A part of what is told: a heading, and a table or a line."""

    title: str
    shown: pd.DataFrame | str

    @property
    def text(self) -> str:
        if isinstance(self.shown, str):
            return f"{self.title}: {self.shown}"
        return f"{self.title}\n{self.shown.to_string(index=False)}"


def compare(a: str, b: str, results: Path | None = None) -> Iterator[Comparison]:
    """What differs between two runs, two results folders or, in the folder `results`, two methods.

    Raises UserError where they are not of one kind, or cannot be read.
    """
    if results is not None:
        return _methods(Results(read_sources(results)).only(a, b), a, b)
    for name in (a, b):
        if not (Path(name).is_dir() or name == SHIPPED or name.startswith(ON_WANDB)):
            raise UserError(
                f"there is no folder {name}; compare two runs, RESULTS/runs/NAME, or two results folders; two methods "
                f"with the folder that they are in: prunebench compare {a} {b} --results DIR"
            )
    runs = [(Path(path) / "config.json").is_file() for path in (a, b)]
    if all(runs):
        return _runs(read_run(Path(a)), read_run(Path(b)))
    if any(runs):
        run, other = (a, b) if runs[0] else (b, a)
        raise UserError(f"{run} is a run and {other} is none; compare two runs, or two results folders")
    return _folders(read_sources(a), read_sources(b))


def _runs(a: RunRecord, b: RunRecord) -> Iterator[Comparison]:
    for run in (a, b):
        if not run.config:
            raise UserError(f"{run.folder} cannot be compared: {run.problem}")
        if run.problem:
            yield Comparison(run.name, run.problem)
    yield _differing("configuration", *({k: v for k, v in run.config.items() if k in _told(run)} for run in (a, b)))
    yield _differing("environment", _environment(a), _environment(b))
    pairs = list(_paired(a, b))
    if pairs:
        yield Comparison("measured points", pd.DataFrame([_row(a, b, *pair) for pair in pairs]))
    alone = len(a.points) + len(b.points) - 2 * len(pairs)
    if alone:
        yield Comparison("points of only one", str(alone))


def _told(run: RunRecord) -> set[str]:
    """The options that say something of a run, not of the place where it was carried out."""
    return run.config.keys() - run.head.options("place").keys()


def _paired(a: RunRecord, b: RunRecord) -> Iterator[tuple[Point, Point]]:
    """The points of the same round and stage."""
    theirs = {(p.round, p.stage): p for p in b.points}
    return ((p, theirs[p.round, p.stage]) for p in a.points if (p.round, p.stage) in theirs)


def _row(a: RunRecord, b: RunRecord, p: Point, q: Point) -> dict[str, str]:
    masks = [masks_of(run.folder, point) for run, point in ((a, p), (b, q)) if run.folder and point.masks_sha256]
    agreement = [each for each in masks if each is not None]
    return {
        "round": f"{p.round}",
        "stage": p.stage,
        "top-1 (%)": f"{100 * p.top1:.2f}",
        "of the other": f"{100 * q.top1:.2f}",
        "compression": _ratio(p.compression_params),
        "of other": _ratio(q.compression_params),
        "weights": "equal" if p.weights_sha256 and p.weights_sha256 == q.weights_sha256 else "differ",
        "masks agree (%)": f"{100 * jaccard(*agreement):.1f}" if len(agreement) == 2 else NOTHING,
    }


def _ratio(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}×"


def _methods(found: Results, a: str, b: str) -> Iterator[Comparison]:
    told = False
    for setting in found.settings:
        labels = [[m.label for m in setting.methods.values() if name in (m.label, m.plain, m.name)] for name in (a, b)]
        for label, other in ((x, y) for x in labels[0] for y in labels[1] if x != y):
            told = True
            yield from _two_methods(setting, label, other)
    if not told:
        raise UserError(
            f"no setting has both {a} and {b} as methods with finished runs; the dense network is in every table, and "
            "--reference dense of report compares with it"
        )


def _two_methods(setting: Setting, a: str, b: str) -> Iterator[Comparison]:
    kept = {label: setting.methods[label] for label in (a, b)}
    pair = Setting(
        setting.name, setting.dense, setting.longer, kept, setting.classes, [],
        [(run, label) for run, label in setting.runs if label.text in kept],
    )  # fmt: skip
    options = [_common([run.head.options("run") for run, label in pair.runs if label.text == name]) for name in (a, b)]
    yield _differing(f"{setting.name}: options of {a} and {b}", *options)
    yield Comparison(smallest_networks(pair).title, smallest_networks(pair).shown)
    if table := paired_differences(pair, b):
        yield Comparison(table.title, table.shown)
    if agreements := list(_agreements(pair, a, b)):
        shown = interval(estimate(agreements, 0, 1), "{:.1f}", 100)
        yield Comparison("masks of the same seed at the same target or round agree (%)", shown)


def _agreements(setting: Setting, a: str, b: str) -> Iterator[float]:
    """Of each pair of points of one seed and operating point, how far their masks agree."""
    files: dict[tuple[str, int, str], Path] = {
        (label.text, run.seed, point.masks_sha256): run.folder
        for run, label in setting.runs
        if run.folder
        for point in run.points
    }
    ours, theirs = (setting.methods[label].points for label in (a, b))
    for key in ours.keys() & theirs.keys():
        for seed in sorted(ours[key].keys() & theirs[key].keys()):
            points = [(a, ours[key][seed]), (b, theirs[key][seed])]
            folders = [files.get((label, seed, point.masks_sha256)) for label, point in points]
            masks = [masks_of(f, point) for f, (_, point) in zip(folders, points, strict=True) if f]
            if len(masks) == 2 and masks[0] is not None and masks[1] is not None:
                yield jaccard(masks[0], masks[1])


def _folders(a: list[RunRecord], b: list[RunRecord]) -> Iterator[Comparison]:
    ours, theirs = ({run.head.id: run for run in runs if run.config} for runs in (a, b))
    shared = [i for i in ours if i in theirs]
    differ = [i for i in shared if _numbers(ours[i]) != _numbers(theirs[i])]
    yield Comparison("runs", f"{len(shared)} in both, {len(ours) - len(shared)} and {len(theirs) - len(shared)} in one")
    yield Comparison("equal", f"{len(shared) - len(differ)} of {len(shared)}, to the digest of every measured network")
    for i in differ:
        tops = [abs(p.top1 - q.top1) for p, q in _paired(ours[i], theirs[i])]
        far = f"top-1 up to {100 * max(tops):.2f} points apart" if tops else "no point in common"
        yield Comparison(ours[i].name, far)
    yield _differing("environment", *(_common([_environment(run) for run in runs.values()]) for runs in (ours, theirs)))
    others = settings_of(b)
    if rows := [row for setting in settings_of(a) for row in _by_method(setting, others)]:
        title = "test top-1 of the second minus that of the first, points, at the same target or round and seed"
        yield Comparison(title, pd.DataFrame(rows))


def _by_method(setting: Setting, others: list[Setting]) -> Iterator[dict[str, Any]]:
    """Methods that both folders have in a setting, with the mean difference of their points over the seeds of both."""
    other = next((s for s in others if s.name == setting.name), None)
    for label, method in setting.methods.items() if other else ():
        if other and (same := other.methods.get(label)):
            pairs = [
                100 * (same.points[key][seed].top1 - point.top1)
                for key, points in method.points.items()
                for seed, point in points.items()
                if seed in same.points.get(key, {})
            ]
            if pairs:
                mean, most = sum(pairs) / len(pairs), max(pairs, key=abs)
                told = {"points": len(pairs), "mean": f"{mean:+z.2f}", "largest": f"{most:+z.2f}"}
                yield {"setting": setting.name, "method": label} | told


def _numbers(run: RunRecord) -> list[tuple[Any, ...]]:
    return [(p.round, p.stage, p.top1, p.val_top1, p.weights_sha256, p.masks_sha256) for p in run.points]


def _environment(run: RunRecord) -> dict[str, Any]:
    found = run.environment
    return {"commit": found.commit, **found.versions, **found.hardware.model_dump()}


def _common(options: list[dict[str, Any]]) -> dict[str, Any]:
    """The value of each option, or all of them where runs differ in it."""
    values = {name: sorted({str(each.get(name)) for each in options}) for each in options for name in each}
    return {name: found[0] if len(found) == 1 else " | ".join(found) for name, found in values.items()}


def _differing(title: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Comparison:
    names = [n for n in sorted({*a, *b}) if a.get(n) != b.get(n)]
    rows = [{"": n, "first": str(a.get(n, NOTHING)), "second": str(b.get(n, NOTHING))} for n in names]
    return Comparison(f"{title}: what differs", pd.DataFrame(rows)) if rows else Comparison(title, "the same")
