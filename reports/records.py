"""Records read back into tables; what is damaged or unfinished is kept as a problem to be shown."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.records import Record

Row = dict[str, Any]

# What says which runs are compared with which; the rest of a configuration is the method's.
SETTING = ("dataset", "model", "train.optimizer")
NOT_METHOD = ("seed", "data_dir", "results", "device", "wandb", "project", "entity", "pruner.sparsity")


@dataclass(frozen=True)
class RunRecord:
    """One run, as its folder holds it; `problem` says what keeps it out of the averages."""

    name: str
    head: Row
    environment: Row = field(default_factory=dict)
    status: Row = field(default_factory=dict)
    epochs: list[Row] = field(default_factory=list)
    points: list[Row] = field(default_factory=list)
    problem: str = ""

    @property
    def config(self) -> Row:
        return self.head.get("config", {})

    @property
    def conditions(self) -> Row:
        """All options but the method's own and the seed: what has to be equal for a comparison."""
        own = ("pruner", "retrain.", "seed", "stop_drop", "score_examples", "spare", "protocol", *NOT_METHOD)
        return {k: v for k, v in self.config.items() if not k.startswith(own)}

    @property
    def marks(self) -> str:
        """† for the protocol that picks on the test set, ‡ for data that differ from the published files."""
        dagger = "†" if self.head.get("protocol") == "paper" else ""
        return dagger + ("‡" if self.environment.get("data_verified") is False else "")


def read_records(results: Path) -> list[RunRecord]:
    """All runs below `results`, by name.

    Raises UserError where the folder cannot be read or holds no run.
    """
    folder = results / "runs"
    try:
        names = sorted(p.name for p in folder.iterdir() if p.is_dir())
    except OSError as error:
        raise UserError(
            f"cannot read records in {folder}: {error.strerror}; give the folder of a sweep's --results"
        ) from error
    if not names:
        raise UserError(f"no run has begun in {results}; `prunebench sweep FILE --results {results}` makes some")
    return [_read(folder / name) for name in names]


def fetch_records(source: str) -> list[RunRecord]:
    """All runs of ENTITY/PROJECT or ENTITY/PROJECT/SWEEP on W&B, by name, with their whole history.

    Raises UserError where W&B does not answer, or has no run of this suite there.
    """
    from benchmark.tracking import read_runs

    runs = [_record(found["config.json"].get("name", "?"), found, []) for found in read_runs(source)]
    if not runs:
        raise UserError(f"W&B has no run of this suite in {source}; `prunebench mirror DIR` sends those of a folder")
    return sorted(runs, key=lambda run: run.name)


def _read(folder: Path) -> RunRecord:
    found: dict[str, Any] = {}
    problems: list[str] = []
    for name in ("config.json", "environment.json", "status.json", "epochs.jsonl", "points.jsonl"):
        path, rows = folder / name, name.endswith("l")
        part = path.stem if rows else name
        try:
            text = path.read_text()
            found[part] = [json.loads(line) for line in text.splitlines()] if rows else json.loads(text)
        except FileNotFoundError:
            found[part] = [] if rows else {}
        except (OSError, ValueError):
            found[part] = [] if rows else {}
            problems.append(f"damaged: {path}")
    if found["status.json"].get("state") == "running":
        state, reason = Record(folder).standing
        found["status.json"] |= {"state": state, "reason": reason}
    return _record(folder.name, found, problems)


def _record(name: str, found: dict[str, Any], problems: list[str]) -> RunRecord:
    """A run from its configuration, environment, status, epochs and points."""
    head, status = found["config.json"], found["status.json"]
    state = status.get("state", "not begun")
    if not problems and state != "done":
        problems.append(f"{state}: {status.get('reason', '')}".rstrip(": "))
    if not problems and not head.get("config"):
        problems.append("damaged: no configuration")
    return RunRecord(
        name, head, found["environment.json"], status, found["epochs"], found["points"], "; ".join(problems)
    )


def setting_names(runs: list[RunRecord]) -> dict[str, str]:
    """The setting of each run, by run name: dataset, network, optimiser, and in what else settings differ."""
    names = sorted({k for run in runs for k in run.conditions if k not in SETTING})
    differing = [k for k in names if len({json.dumps(run.conditions.get(k)) for run in runs}) > 1]
    return {
        run.name: " · ".join(
            [*(str(run.config.get(k, "?")) for k in SETTING), *(f"{k}={run.conditions.get(k)}" for k in differing)]
        )
        for run in runs
    }


def method_labels(runs: list[RunRecord]) -> dict[str, str]:
    """A method's label by run name: its name, with the options in which the runs of that name differ."""
    labels: dict[str, str] = {}
    for method in {str(run.config.get("pruner", "?")) for run in runs}:
        mine = [run for run in runs if run.config.get("pruner", "?") == method]
        names = sorted({k for run in mine for k in run.config if k not in (*NOT_METHOD, *SETTING)})
        differing = [k for k in names if len({json.dumps(run.config.get(k)) for run in mine}) > 1]
        for run in mine:
            options = ", ".join(f"{k.removeprefix('pruner.')}={run.config.get(k)}" for k in differing)
            short = method.rsplit(":", 1)[-1]
            labels[run.name] = (f"{short} ({options})" if options else short) + run.marks
    return labels
