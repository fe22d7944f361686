"""What a run owes the agent of a W&B sweep that started it."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmark.config import Settings
from benchmark.errors import UserError
from benchmark.fields import options_of


def in_sweep() -> bool:
    """Whether the agent of a W&B sweep started this process."""
    return "WANDB_SWEEP_ID" in os.environ


def as_given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a command line without what is W&B's own: an interrupted run comes back with its whole config."""
    return {name: v for name, v in options.items() if not (in_sweep() and name.partition(".")[0] == "_wandb")}


@contextlib.contextmanager
def told_to_sweep(options: Mapping[str, Any], name: str = "") -> Iterator[None]:
    """In a sweep an error of what is within, before the run's mirror is opened, shows on W&B as that of its run.

    `name` is the run's, where it is known already.
    """
    try:
        yield
    except Exception as error:
        values = {key: option.default for key, option in options_of(Settings).items()} | dict(options)
        if in_sweep() and values["wandb"] in ("auto", "online"):
            with contextlib.suppress(Exception):
                _tell(values, name, error)
        raise


def _tell(values: Mapping[str, Any], name: str, error: Exception) -> None:
    from benchmark.tracking.client import begin, client_settings

    if client_settings().mode != "online":
        return
    known = isinstance(error, UserError)
    name = name or "-".join(str(values[part]) for part in ("dataset", "model", "pruner", "seed"))
    reason = " ".join(str(error).split()) if known else f"{type(error).__name__}: {error}"
    about = {"name": name, "tags": ["not begun"], "config": {**values, "results": str(values["results"])}}
    with TemporaryDirectory() as folder:
        begun = begin("online", "", values["project"], values["entity"], Path(folder), about, strict=True)
        if begun is not None:
            run, _ = begun
            run.summary.update({"state": "failed", "reason": reason})
            run.write_logs(reason if known else "".join(traceback.format_exception(error)))
            run.finish(exit_code=1)
