"""The trackio tracker: a local dashboard, `trackio show --project nnrelief-bench`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from typing import Any

import trackio

from benchmark.records import Record, Row
from benchmark.tracking.mirror import labels
from benchmark.tracking.series import series


class Trackio:
    """A run of trackio's by the name, group and config that it has on W&B."""

    def __init__(self, record: Record) -> None:
        about = labels(record.read_json("config.json"))
        project = about["config"].get("project", "nnrelief-bench")
        with _on_stderr():
            with contextlib.suppress(ValueError):  # there is no such project yet
                for earlier in trackio.Api().runs(project):
                    if earlier.name == about["name"]:
                        earlier.delete()
            named = {name: about[name] for name in ("name", "group", "config")}
            self._run = trackio.init(project, **named, embed=False, auto_log_gpu=False, auto_log_cpu=False)

    def show(self, row: Row) -> None:
        self._run.log(series(row), step=row["log_step"])

    def finish(self, *, exit_code: int, summary: Mapping[str, Any], again: bool = False) -> None:
        with _on_stderr():
            self._run.finish()


def _on_stderr() -> contextlib.AbstractContextManager[object]:
    """Within, what trackio says does not mix with a command's own output."""
    return contextlib.redirect_stdout(sys.stderr)
