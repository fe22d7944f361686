"""Records read back from W&B, in the shape of the files of a results folder."""

from __future__ import annotations

import json
from typing import Any

from benchmark.errors import UserError
from benchmark.tracking.client import cause, release, require_key

# The state of a run that has not said itself how it ended, by what W&B calls it.
STATES = {"running": "running", "pending": "running", "preempting": "running", "finished": "done", "failed": "failed"}


def read_runs(path: str) -> list[dict[str, Any]]:
    """The runs of ENTITY/PROJECT or ENTITY/PROJECT/SWEEP that this suite logged, each as its record.

    A record is {"config.json": {}, "environment.json": {}, "status.json": {}, "epochs": [], "points": []},
    equal to the files of the run's folder, with the whole history. Of several W&B runs of one
    configuration the furthest is taken; runs of other programs are passed over.

    Raises UserError where the path is malformed, no key is configured, or W&B does not answer.
    """
    parts = path.strip("/").split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise UserError(f"a W&B source is ENTITY/PROJECT or ENTITY/PROJECT/SWEEP, got '{path}'")
    try:
        records = [_record(run) for run in _runs(parts) if "about" in run.summary]
    except UserError:
        raise
    except Exception as error:
        release()
        raise UserError(f"cannot read {path} from W&B: {cause(error)}") from error
    furthest: dict[str, dict[str, Any]] = {}
    for record in sorted(records, key=_extent):
        furthest[record["config.json"]["id"]] = record
    return list(furthest.values())


def _runs(parts: list[str]) -> Any:
    key = require_key()
    import wandb

    api = wandb.Api(api_key=key or None)
    return api.runs("/".join(parts[:2]), filters={"sweep": parts[2]} if len(parts) == 3 else {}, include_sweeps=False)


def _record(run: Any) -> dict[str, Any]:
    """One W&B run as a record; rows that arrived more than once are taken once."""
    texts = [row["record"] for row in run.scan_history() if row.get("record")]
    rows = {row["log_step"]: row for row in map(json.loads, texts)}
    ordered = [rows[step] for step in sorted(rows)]
    return {
        **json.loads(run.summary["about"]),
        "status.json": _status(run),
        "epochs": [row for row in ordered if "point" not in row],
        "points": [row for row in ordered if "point" in row],
    }


def _status(run: Any) -> dict[str, Any]:
    said = run.summary.get("status")
    if said and STATES.get(run.state) != "running":
        return json.loads(said)
    return {"state": STATES.get(run.state, "interrupted"), "reason": f"{run.state}, says W&B"}


def _extent(record: dict[str, Any]) -> tuple[bool, int]:
    return record["status.json"]["state"] == "done", len(record["epochs"]) + len(record["points"])
