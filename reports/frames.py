"""Records as three tables of pandas, with a row for each run, epoch and measured point."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from operator import attrgetter
from typing import Any

import pandas as pd

from benchmark.errors import unknown
from benchmark.records import METRICS
from reports.curves import REFERENCE, Setting, settings_of
from reports.records import RunRecord
from reports.schema import Epoch, Point

NUMBERS = {  # of epochs and points, in the order of the table of metrics
    kind: [name for name in METRICS if name in {f.name for f in fields(kind)}] for kind in (Epoch, Point)
}
_numbers_of = attrgetter(*NUMBERS[Point])
KEYS = {
    "run": "the run's name, which ends with the start of its identity",
    "setting": "dataset, network, optimiser, what else differs, and protocol: runs of one setting are compared",
    "method": "the method, with the options in which its runs differ; † picked on test data, ‡ other data files",
    "seed": "of all random streams",
    "counted": "whether it is in the averages",
    "stage": "before (pruned) or after (trained) the round's training",
    "schedule": "the learning-rate schedule: train or retrain",
    "target": "what the method was asked for: a sparsity, or its own option that says how much goes",
}
OF_A_RUN = {
    "source": "the results folder, or what on W&B",
    "folder": "where the record lies",
    "id": "the identity: a hash of the protocol and of the options that differ from their defaults",
    "pruner": "the method's name",
    "dataset": "the dataset",
    "model": "the network",
    "protocol": "the rules, by number; paper picks on test data",
    "state": "how the run ended",
    "problem": "what keeps it out of the averages",
    "points": "how many measured points it has",
    "commit": "of the code that made it, + where files differed",
    "device": "what computed it",
    "data_verified": "whether the data files are the published ones",
    "started": "UTC",
    "finished": "UTC",
}
TELLING = ("run", "setting", "method", "seed", "counted")  # what begins the rows of every table
DERIVED = ("drop", "validation_drop", "budget")  # of a point, from the dense network of its setting and seed


@dataclass(frozen=True)
class Results:
    """What `reports.load` read. Shares such as top1 lie in [0, 1]; None or NaN is what a record does not have.

    Runs that cannot be read or that are copies of others are in `runs` alone, with the reason in `problem`.
    """

    records: list[RunRecord]

    @cached_property
    def settings(self) -> list[Setting]:
        """The same by what is compared: what tables and figures are made of."""
        return settings_of(self.records)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """A row for each run; behind those of `columns` all options of its configuration, by dotted name."""
        rows = []
        for run, keys in self._keyed():
            environment, status = run.environment, run.status
            rows.append(
                {
                    **run.config,
                    **dict(zip(TELLING, keys, strict=True)),
                    "source": run.source,
                    "folder": None if run.folder is None else str(run.folder),
                    "id": run.head.id,
                    "protocol": run.rules,
                    "state": status.state,
                    "problem": run.problem,
                    "points": len(run.points),
                    "commit": environment.commit,
                    "device": environment.hardware.device,
                    "data_verified": environment.data_verified,
                    "started": status.started,
                    "finished": status.finished,
                }
            )
        first = [*TELLING, *OF_A_RUN]
        frame = pd.DataFrame(rows)
        return frame.reindex(columns=[*first, *sorted(set(frame.columns).difference(first))])

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """A row for each epoch."""
        rows = [
            (*keys, epoch.schedule, *(getattr(epoch, name) for name in NUMBERS[Epoch]))
            for run, keys in self._keyed()
            for epoch in (run.epochs if run.config else ())
        ]
        return pd.DataFrame(rows, columns=[*TELLING, "schedule", *NUMBERS[Epoch]])

    @cached_property
    def points(self) -> pd.DataFrame:
        """A row for each measured point; the columns `layers` and `firing` hold lists, for `explode`."""
        return pd.DataFrame([*self.point_rows()], columns=self.point_columns)

    @property
    def point_columns(self) -> list[str]:
        """What `point_rows` have; the last two are lists."""
        return [*TELLING, "target", "stage", *DERIVED, *NUMBERS[Point], *self._measured, "layers", "firing"]

    @cached_property
    def _measured(self) -> list[str]:
        """The speed-ups that were measured of any network."""
        return sorted({name for run in self.records for point in run.points for name in point.measured or ()})

    def point_rows(self) -> Iterator[tuple[Any, ...]]:
        """The rows of `points`, one after the other."""
        dense = {setting.name: setting.dense for setting in self.settings}
        targets = {id(run): label.target for setting in self.settings for run, label in setting.runs}
        for run, keys in self._keyed():
            reference = dense.get(keys[1], {}).get(keys[3])
            told = (*keys, targets.get(id(run)))
            for point in run.points if run.config else ():
                measured = [(point.measured or {}).get(name) for name in self._measured]
                numbers = (*_against(point, reference), *_numbers_of(point), *measured)
                yield (*told, point.stage, *numbers, point.layers, point.firing)

    def only(self, *names: str) -> Results:
        """These methods and dense: a name stands for all variants of a method, a label of a report for one.

        Raises UserError for a name that no method here has.
        """
        kept: dict[int, RunRecord] = {}
        known: set[str] = set()
        for setting in self.settings:
            for run, label in setting.runs:
                called = {label.text, label.plain, label.method}
                known |= called
                if label.method == REFERENCE or called & set(names):
                    kept[id(run)] = run
        counted = {id(run) for setting in self.settings for run, _ in setting.runs}
        for name in names:
            if name not in known:
                raise unknown("method", name, sorted(known), "--only takes names of methods in the records")
        uncounted = {id(run) for run in self.records if id(run) not in counted and run.method in (*names, REFERENCE)}
        return Results([run for run in self.records if id(run) in kept or id(run) in uncounted])

    @property
    def columns(self) -> pd.DataFrame:
        """What each column is: of which table, its unit, and what it says."""
        rows = []
        for table, frame in (("runs", self.runs), ("epochs", self.epochs), ("points", self.points)):
            for name in frame.columns:
                metric, told = METRICS.get(name), KEYS.get(name) or OF_A_RUN.get(name)
                about = metric.about if metric else told or "as in the records"
                rows.append((table, name, metric.unit if metric else "", about))
        return pd.DataFrame(rows, columns=["table", "column", "unit", "about"])

    def _keyed(self) -> Iterator[tuple[RunRecord, tuple[Any, ...]]]:
        """Each run, and its values of TELLING."""
        known = {id(run): (setting.name, label.text) for setting in self.settings for run, label in setting.runs}
        for run in self.records:
            setting, method = known.get(id(run), (None, (run.config and run.method) or None))
            yield run, (run.name, setting, method, run.config.get("seed"), id(run) in known)


def _against(point: Point, dense: Point | None) -> tuple[float | None, float | None, float | None]:
    """A point's drop of top1 on test and on validation, and its training in multiples of the dense one."""
    if dense is None:
        return None, None, None
    budget = point.epochs_total / dense.epochs_total if dense.epochs_total else None
    return dense.top1 - point.top1, dense.val_top1 - point.val_top1, budget
