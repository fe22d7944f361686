"""Reference results: compact records that come with the package, to set new runs beside.

Of each finished run its configuration, environment and rows; no tensors, and nothing of the place where it was made.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from reports.files import Damaged, read_object, read_rows

FOLDER = Path(__file__).parent / "reference_results"
SUFFIX = ".jsonl.xz"  # a line of JSON for each run


def packed_runs() -> Iterator[dict[str, Any]]:
    """All reference runs, each as {"config.json": {}, "environment.json": {}, "status.json": {}, "epochs": [], ...}."""
    for file in sorted(FOLDER.glob(f"*{SUFFIX}")):
        with lzma.open(file, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def pack(results: Path, name: str) -> Path:
    """Write the finished runs of a results folder as the reference results called `name`.

    Raises UserError where there is none, or one is damaged or was made by code that is no commit.
    """
    runs = [_packed(folder) for folder in sorted((results / "runs").glob("*/"))]
    lines = [json.dumps(run, sort_keys=True, separators=(",", ":")) for run in runs if run]
    if not lines:
        raise UserError(f"no finished run in {results}; give the folder of a sweep's --results")
    file = FOLDER / f"{name}{SUFFIX}"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(lzma.compress("".join(f"{line}\n" for line in lines).encode(), preset=9 | lzma.PRESET_EXTREME))
    return file


def _packed(folder: Path) -> dict[str, Any] | None:
    """A finished run without its place; None where it is not finished."""
    try:
        head, environment, status = (
            read_object(folder / f"{name}.json") or {} for name in ("config", "environment", "status")
        )
        if status.get("state") != "done":
            return None
        rows = {name: [row for _, row in read_rows(folder / f"{name}.jsonl")] for name in ("epochs", "points")}
    except Damaged as error:
        raise UserError(f"{folder} is damaged: {error}") from error
    commit = environment.get("commit")
    if not commit or commit.endswith("+"):
        raise UserError(
            f"{folder} was made by {commit or 'no commit'}: reference results come from a clean checkout; "
            "commit what has changed, and make the runs anew"
        )
    place = head["belongs"].pop("place")
    head["config"] = {name: value for name, value in head["config"].items() if name not in place}
    for part, source in head.get("sources", {}).items():  # of a user's own: what it is, not where it lay
        if source.pop("path", None):
            head["config"][part] = source["label"]
    head["method"] = {k: v for k, v in head.get("method", {}).items() if k not in ("call", "path")}
    for part in (head, environment):
        part.pop("digest", None)
    kept = {name: [{k: v for k, v in row.items() if k != "chain"} for row in found] for name, found in rows.items()}
    return {"config.json": head, "environment.json": environment, "status.json": {"state": "done"}, **kept}
