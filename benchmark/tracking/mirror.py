"""The W&B mirror of a run. The local record is the truth; nothing that happens to W&B stops a run.

What W&B shows: the series of `series`, few of them charted until somebody asks for more; the layers' densities as a
histogram; in the summary the last trained point under the plain names (`top1`, `compression_params`, ...),
`val_top1_best`, and what `comparison` makes of the run.

W&B makes 1 of 1.0 and knows no lists of layers, so the exact text goes along: of each row as `record` in the
history, of config.json and environment.json as `about`, of status.json as `status` in the summary. `reader` makes
the records again from that. The config has the run's options and nothing else: the service gives it back as a command
line when it hands out an interrupted run of a sweep again.

Every row has a number, `log_step`, that is its step on W&B too: what is there already the client leaves out, so all
rows of a record can be given once more after an interruption.

With `log_model` a finished run's network goes along, see `artifact`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from benchmark.errors import UserError
from benchmark.records import Record, read_json
from benchmark.tracking.artifact import ANSWER, RATE, LogModel, check_model, model_files, send_model
from benchmark.tracking.comparison import comparison
from benchmark.tracking.series import LAYERS, axis, charted, densities, numbers, series

Mode = Literal["online", "offline", "off", "auto"]

EXIT_CODES = {"done": 0, "interrupted": 130}  # by the state of a run; 1 for the others


class Mirror:
    """A run as W&B shows it; does nothing where W&B is off, or once it has failed."""

    def __init__(
        self,
        run: Any = None,
        folder: Path = Path(),
        way: str = "",
        strict: bool = False,
        log_model: LogModel = "none",
    ) -> None:
        self._run = run  # a wandb.Run
        self._log_model: LogModel = log_model
        self._strict = strict  # raise Unreachable where W&B fails
        self._record = Record(folder)
        self._way = way  # the command that brings later what is missing
        self._last = -1  # the number of the last row that W&B should have
        self._summary: dict[str, Any] = {}
        self._defined: set[str] = set()  # names that W&B knows the horizontal axis of

    def show(self, row: Mapping[str, Any]) -> None:
        """Show a row of epochs.jsonl or points.jsonl, unless W&B has it."""
        if "point" not in row:
            self._summary["val_top1_best"] = max(row.get("val_top1", 0.0), self._summary.get("val_top1_best", 0.0))
        elif row["stage"] == "trained":
            self._summary |= numbers(row)
        with self._guarded() as run:
            if run is None:
                return
            values = series(row)
            if layers := densities(row):
                values[LAYERS] = _histogram(layers)
            self._define(run, values)
            self._last = row["log_step"]
            run.log({**values, "record": json.dumps(row)}, step=row["log_step"], commit=True)

    def replay(self, record: Record) -> None:
        """Show all rows of a record that W&B does not have."""
        rows = [*record.read_rows("epochs.jsonl"), *record.read_rows("points.jsonl")]
        for row in sorted(rows, key=lambda row: row["log_step"]):
            self.show(row)

    def finish(self, *, exit_code: int, summary: Mapping[str, Any], again: bool = False) -> None:
        """End the run on W&B; `summary` is added to the last trained point's values.

        With `again` a sweep's run is one that W&B hands out once more, to this agent or another.
        Waits for the rest of the data to arrive, but not longer than LIMITS allows.
        """
        from benchmark.tracking.client import ARRIVAL, check_arrival, mark_as_brought

        with self._guarded() as run:
            if run is not None:
                folder = self._record.folder
                about = {"status": json.dumps(read_json(folder / "status.json")), **comparison(self._record)}
                run.summary.update({**self._summary, **about, **summary})
                if trace := read_json(folder / "traceback.json").get("traceback"):
                    run.write_logs("\n".join(trace))
                if again and run.sweep_id:
                    run.mark_preempting()
                patience = ARRIVAL if self._strict else ANSWER
                wanted = self._log_model != "none" and self._record.done
                model = send_model(run, self._record, self._log_model, patience) if wanted else ""
                place = None if run.offline else f"{run.entity}/{run.project}"
                run.finish(exit_code=exit_code)
                if place:
                    check_arrival(f"{place}/{run.id}", self._last)
                    if model:
                        check_model(place, self._record, model)
                    mark_as_brought(folder)
        self._run = None

    def _define(self, run: Any, values: Mapping[str, Any]) -> None:
        """Tell W&B of names that are new what they stand against, and whether they are charted."""
        if not self._defined:
            run.define_metric("record", hidden=True, summary="none")
        for name in sorted(values.keys() - self._defined):
            summary = "none" if "/" in name else None  # the summary has a point's numbers under their plain names
            run.define_metric(name, step_metric=axis(name), hidden=not charted(name), summary=summary)
        self._defined |= values.keys()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[Any]:
        """The W&B run, or None; an error of the client ends the mirror with one line."""
        from benchmark.tracking.client import Unreachable, cause, release, say

        run = self._run
        try:
            yield run
        except Exception as error:
            self._run = None
            release(run)
            if self._strict:
                raise Unreachable(cause(error)) from error
            say(f"mirroring ended ({cause(error)}); the local record is whole, bring it later with: {self._way}")


def open_mirror(
    mode: Mode,
    record: Record,
    project: str = "nnrelief-bench",
    entity: str | None = None,
    strict: bool = False,
    log_model: LogModel = "none",
) -> Mirror:
    """Begin the mirror of a run, or go on with it after an interruption.

    `auto` is online where an API key is configured, else offline. Where W&B does not answer, `online`
    is offline too. One line on stderr says where the run is shown, or how to bring it there. In a W&B
    sweep the run, its project and its swept values are the sweep's.

    Raises UserError for `online` without an API key. With `strict` an error of W&B's ends in Unreachable, here and
    later, and nothing is said or kept offline for it; then a network has the longer to arrive, the larger it is.
    """
    if mode == "off":
        return Mirror()
    from benchmark.tracking.client import Unreachable, begin, cause, mirror_command, say

    files = {file: record.read_json(file) for file in ("config.json", "environment.json")}
    try:
        about = files["config.json"]
        size = sum(path.stat().st_size for path in model_files(record, log_model)) if log_model != "none" else 0
        patience = size / RATE if strict else 0.0
        begun = begin(mode, about["id"], project, entity, record.folder, labels(about), strict, patience)
        if begun is None:
            return Mirror()
        run, way = begun
        run.summary.update({"about": json.dumps(files)})
    except (UserError, Unreachable):
        raise
    except Exception as error:
        way = mirror_command(record.folder)
        say(f"not mirrored ({cause(error)}); the local record is whole, bring it later with: {way}")
        return Mirror()
    return Mirror(run, record.folder, way, strict, log_model)


def check_mirror(mode: Mode) -> None:
    """Raises UserError for `online` without an API key; called before anything is written or trained."""
    if mode == "online":
        from benchmark.tracking.client import require_key

        require_key()


def labels(about: Mapping[str, Any]) -> dict[str, Any]:
    """What a run is called on W&B and how it is found there, from its config.json: the arguments of `wandb.init`."""
    options = about["config"]
    method = options["pruner"].rpartition(":")[2]
    return {
        "name": about["name"],
        "group": about.get("group"),
        "job_type": method,
        "tags": [options["dataset"], options["model"], method, f"protocol-{options['protocol']}"],
        "config": {**options, "pruner": about["method"].get("call", options["pruner"])},
    }


def mirror_records(
    results: Path,
    mode: Mode = "auto",
    project: str = "nnrelief-bench",
    entity: str | None = None,
    log_model: LogModel | None = None,
) -> Iterator[str]:
    """Bring the runs of a results folder, or the one run that the folder is of, to W&B; a line for each.

    Only what W&B does not have is sent: doing it twice adds nothing. A run goes on where it was shown before, in a
    sweep too. Raises UserError with what is left the first time that W&B does not answer.
    """
    alone = (results / "config.json").exists()
    folders = [results] if alone else sorted(path.parent for path in results.glob("runs/*/config.json"))
    if not folders:
        raise UserError(f"no runs in {results}; name a results folder, or the folder of one run in it")
    from benchmark.tracking.client import Unreachable, mirror_command

    for number, folder in enumerate(folders):
        try:
            told = mirror_record(Record(folder), mode, project, entity, log_model, strict=True)
            yield f"{folder.name}: {told}"
        except Unreachable as error:
            left = f"{len(folders) - number} of {len(folders)} runs are left"
            raise UserError(f"W&B: {error}; {left}, go on with: {mirror_command(results)}") from error


def mirror_record(
    record: Record,
    mode: Mode,
    project: str = "nnrelief-bench",
    entity: str | None = None,
    log_model: LogModel | None = None,
    strict: bool = False,
) -> str:
    """Bring one run to W&B, in a W&B sweep as the sweep's run; returns its state, or why it is left out.

    A `log_model` of None is what the run was asked for. With `strict` raises Unreachable where W&B does not take it.
    """
    status = record.status
    state = status.get("state", "running")
    if state == "running":
        return "left out: under way, or killed; do it again to go on with it"
    kept: LogModel = log_model or record.read_json("config.json")["config"].get("log_model", "none")
    mirror = open_mirror(mode, record, project, entity, strict, kept)
    mirror.replay(record)
    mirror.finish(exit_code=EXIT_CODES.get(state, 1), summary={"state": state, "reason": status.get("reason", "")})
    return state


def _histogram(values: Sequence[float]) -> Any:
    """A histogram of W&B's over [0, 1]."""
    import numpy as np
    import wandb

    return wandb.Histogram(np_histogram=np.histogram(values, bins=20, range=(0, 1)))
