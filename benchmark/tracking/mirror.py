"""The W&B mirror of a run. The local record is the truth; nothing that happens to W&B stops a run.

What W&B shows: an epoch's row under the names of the record, plotted against `epoch`; a measured
point as `point/top1`, `point/compression_params` ... after training and `pruned/top1` ... before it,
against `point/round`, with each layer as `density/<layer>`; in the summary the last trained point
under the plain names (`top1`, `compression_params`, ...) and `val_top1_best`.

W&B makes 1 of 1.0 and knows no lists of layers, so the exact text goes along: of each row as
`record` in the history, of config.json and environment.json as `record` in the config, of
status.json as `status` in the summary. `reader` makes the records again from that.

Every row has a number, `log_step`, that is its step on W&B too: a row that is there already is not
sent again, so all rows of a record can be given once more after an interruption.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from benchmark.errors import UserError
from benchmark.records import Record, read_json

Mode = Literal["online", "offline", "off", "auto"]

EXIT_CODES = {"done": 0, "interrupted": 130}  # by the state of a run; 1 for the others


class Mirror:
    """A run as W&B shows it; does nothing where W&B is off, or once it has failed."""

    def __init__(self, run: Any = None, directory: Path = Path(), way: str = "", strict: bool = False) -> None:
        self._run = run  # a wandb.Run
        self._strict = strict  # raise Unreachable where W&B fails
        self._directory = directory  # of the record
        self._way = way  # the command that brings later what is missing
        self._last = -1  # the number of the last row that W&B should have
        self._summary: dict[str, Any] = {}
        self._defined: set[str] = set()  # names that W&B knows the horizontal axis of

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Show a row of epochs.jsonl, unless W&B has it."""
        self._summary["val_top1_best"] = max(row.get("val_top1", 0.0), self._summary.get("val_top1_best", 0.0))
        self._log(row, _numbers(row), "epoch")

    def point(self, row: Mapping[str, Any]) -> None:
        """Show a row of points.jsonl, unless W&B has it."""
        if row["stage"] == "trained":
            self._summary |= _numbers(row)
            values = {f"point/{name}": value for name, value in _numbers(row).items()}
            values |= {f"density/{layer['name']}": layer["kept"] / layer["total"] for layer in row.get("layers", [])}
            self._log(row, values, "point/round")
        else:
            self._log(row, {f"pruned/{name}": value for name, value in _numbers(row).items()}, "pruned/round")

    def replay(self, record: Record) -> None:
        """Show all rows of a record that W&B does not have."""
        rows = [*record.read_rows("epochs.jsonl"), *record.read_rows("points.jsonl")]
        for row in sorted(rows, key=lambda row: row["log_step"]):
            (self.point if "point" in row else self.epoch)(row)

    def finish(self, *, exit_code: int, summary: Mapping[str, Any]) -> None:
        """End the run on W&B; `summary` is added to the last trained point's values.

        Waits for the rest of the data to arrive, but not longer than LIMITS allows.
        """
        from benchmark.tracking.client import check_arrival, mark_as_brought

        with self._guarded() as run:
            if run is not None:
                status = json.dumps(read_json(self._directory / "status.json"))
                run.summary.update({**self._summary, **summary, "status": status})
                path = None if run.offline else f"{run.entity}/{run.project}/{run.id}"
                run.finish(exit_code=exit_code)
                if path:
                    check_arrival(path, self._last)
                    mark_as_brought(self._directory)
        self._run = None

    def _log(self, row: Mapping[str, Any], values: dict[str, Any], axis: str) -> None:
        with self._guarded() as run:
            if run is None:
                return
            self._last = row["log_step"]
            if self._last < run.starting_step:
                return
            if not self._defined:
                run.define_metric("record", hidden=True, summary="none")
            for name in sorted(values.keys() - self._defined):
                run.define_metric(name, step_metric=axis)
            self._defined |= values.keys()
            run.log({**values, "record": json.dumps(row)}, step=row["log_step"], commit=True)

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
    *,
    run_id: str,
    name: str,
    group: str,
    tags: Sequence[str],
    config: Mapping[str, Any],
    directory: Path,
    project: str = "nnrelief-bench",
    entity: str | None = None,
    strict: bool = False,
) -> Mirror:
    """Begin the mirror of the run whose record is in `directory`, or go on with it after an interruption.

    `auto` is online where an API key is configured, else offline. Where W&B does not answer, `online`
    is offline too. One line on stderr says where the run is shown, or how to bring it there. In a W&B
    sweep the run, its project and its swept values are the sweep's.

    Raises UserError for `online` without an API key. With `strict` an error of W&B's ends in Unreachable, here and
    later, and nothing is said or kept offline for it.
    """
    if mode == "off":
        return Mirror()
    from benchmark.tracking.client import Unreachable, begin, cause, mirror_command, say

    record = {file: read_json(directory / file) for file in ("config.json", "environment.json")}
    about = {"name": name, "group": group, "tags": list(tags), "config": {**config, "record": json.dumps(record)}}
    try:
        begun = begin(mode, run_id, project, entity, directory, about, strict)
    except (UserError, Unreachable):
        raise
    except Exception as error:
        way = mirror_command(directory)
        say(f"not mirrored ({cause(error)}); the local record is whole, bring it later with: {way}")
        return Mirror()
    return Mirror() if begun is None else Mirror(begun[0], directory, begun[1], strict)


def check_mirror(mode: Mode) -> None:
    """Raises UserError for `online` without an API key; called before anything is written or trained."""
    if mode == "online":
        from benchmark.tracking.client import require_key

        require_key()


def labels(options: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The group and the tags of a run on W&B, from its options."""
    dataset, model, method = options["dataset"], options["model"], options["pruner"].rsplit(":", 1)[-1]
    return f"{dataset}-{model}", [dataset, model, method, f"protocol-{options['protocol']}"]


def mirror_records(
    results: Path, mode: Mode = "auto", project: str = "nnrelief-bench", entity: str | None = None
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
            yield f"{folder.name}: {mirror_record(Record(folder), mode, project, entity, strict=True)}"
        except Unreachable as error:
            left = f"{len(folders) - number} of {len(folders)} runs are left"
            raise UserError(f"W&B: {error}; {left}, go on with: {mirror_command(results)}") from error


def mirror_record(
    record: Record, mode: Mode, project: str = "nnrelief-bench", entity: str | None = None, strict: bool = False
) -> str:
    """Bring one run to W&B, in a W&B sweep as the sweep's run; returns its state, or why it is left out.

    With `strict` raises Unreachable where W&B does not take it.
    """
    status = record.status
    state = status.get("state", "running")
    if state == "running":
        return "left out: under way, or killed; do it again to go on with it"
    about = read_json(record.folder / "config.json")
    group, tags = labels(about["config"])
    mirror = open_mirror(
        mode,
        run_id=about["id"],
        name=about["name"],
        group=group,
        tags=tags,
        config=about["config"],
        directory=record.folder,
        project=project,
        entity=entity,
        strict=strict,
    )
    mirror.replay(record)
    mirror.finish(exit_code=EXIT_CODES.get(state, 1), summary={"state": state, "reason": status.get("reason", "")})
    return state


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """What can be plotted of a row."""
    return {name: value for name, value in row.items() if isinstance(value, int | float) and name != "log_step"}
