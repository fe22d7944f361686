"""The one dense training that every method which starts from it shares, cached by its identity."""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any

from torch import Tensor

from benchmark.config import RunConfig
from benchmark.data import Dataset, steps_per_epoch
from benchmark.errors import Diverged
from benchmark.pruning import Rewind, Train
from benchmark.records import Record, Row, open_record


def rewind_steps(config: RunConfig, data: Dataset) -> set[int]:
    """The steps of the dense training that the run's plan goes back to, without 0, the initial weights."""
    plan = config.plan(config.settings.train.epochs * steps_per_epoch(data, config.settings.train.batch_size))
    return {phase.step for phase in plan if isinstance(phase, Rewind) and phase.step}


def dense_training(
    config: RunConfig, data: Dataset, snapshots: Set[int], on_epoch: Callable[[Row], None] = lambda row: None
) -> dict[str, Any]:
    """The trained dense network (`module`) and what it cost (`state`), from the cache or made now.

    The weights at the steps in `snapshots` are kept beside it, for rewinding. Other processes that
    need the same training wait for it.
    """
    from benchmark.training.runner import Runner

    steps = config.settings.train.epochs * steps_per_epoch(data, config.settings.train.batch_size)
    record = open_record(config.settings.results, "dense", config.dense_id)
    with record.locked():
        dense = record.load("network.pt", data.train.images.device)
        if dense is None and record.status.get("state") == "diverged":
            raise Diverged(record.status["reason"])
        if dense is None:
            record.clear_litter()
            record.write_json("config.json", {"id": config.dense_id, "config": _dense_options(config)})
            record.update_status("running")
            runner = Runner(config, data, record, plan=[Train(0, steps)], snapshots=snapshots, on_epoch=on_epoch)
            try:
                state = runner.execute()
            except Diverged as error:
                record.update_status("diverged", str(error))
                raise
            dense = {"module": runner.net.module.state_dict(), "state": state.__dict__}
            record.save("network.pt", dense)
            record.update_status("done")
        record.remove("checkpoint.pt")
    return dense


def snapshot(config: RunConfig, data: Dataset, step: int) -> dict[str, Tensor]:
    """The weights of the dense training at `step`: kept when it was made, else trained again up to there.

    Trained again they are the same bit for bit on a CPU, and with `deterministic` on a GPU.
    """
    from benchmark.training.runner import Runner

    record = open_record(config.settings.results, "dense", config.dense_id)
    with record.locked():
        kept = record.load(f"step_{step}.pt", data.train.images.device)
        if kept is None:
            again = Record(record.folder / f"to_step_{step}")
            again.folder.mkdir(exist_ok=True)
            Runner(config, data, again, plan=[Train(0, step)], snapshots={step}).execute()
            kept = again.load(f"step_{step}.pt", data.train.images.device)
            assert kept is not None
            record.save(f"step_{step}.pt", kept)
    return kept


def _dense_options(config: RunConfig) -> dict[str, Any]:
    return {k: v for k, v in config.options.items() if not k.startswith(("pruner", "retrain."))}
