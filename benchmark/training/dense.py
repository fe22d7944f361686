"""The dense trainings that methods share: each is made once, cached by its identity, the same whoever asked first."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.config import RunConfig
from benchmark.data import Dataset, steps_per_epoch
from benchmark.errors import Diverged
from benchmark.pruning import Phase, Rewind, Train
from benchmark.records import Damaged, Record, Row, environment, open_record
from benchmark.training.state import State
from benchmark.training.stopping import Stop
from benchmark.training.threads import threads
from benchmark.training.trainer import Trainer


@dataclass(frozen=True)
class Dense:
    """A trained dense network: its weights, what it cost, its epochs."""

    module: dict[str, Tensor]
    state: State
    epochs: list[Row]


def rewind_steps(plan: Sequence[Phase]) -> set[int]:
    """The steps of the dense training that a plan goes back to, without 0, the initial weights."""
    return {phase.step for phase in plan if isinstance(phase, Rewind) and phase.step}


class DenseTrainings:
    """Where a run gets its dense training from: the cache in the results folder, or made now and put there.

    Other processes that need the same training wait for it. Whoever goes on with one does so with as
    many threads as it began with, which its record says.
    """

    def __init__(
        self, config: RunConfig, data: Dataset, on_epoch: Callable[[Row], None] | None = None, stop: Stop | None = None
    ) -> None:
        self.config, self.data, self.stop = config, data, stop
        self.on_epoch = on_epoch or (lambda row: None)
        self._lock: ExitStack | None = None  # of a training that is reserved
        self.steps = config.settings.train.epochs * steps_per_epoch(data, config.settings.train.batch_size)

    def reserve(self) -> bool:
        """Whether it is made, or this process alone may make it: nobody else then begins before that, or `close`."""
        record = open_record(self.config.settings.results, "dense", self.config.dense_id)
        if record.status.get("state") == "done":
            return True
        self._lock = ExitStack()
        return self._lock.enter_context(record.locked(wait=False))

    def close(self) -> None:
        """Let others make what was reserved and not made."""
        if self._lock is not None:
            self._lock.close()

    def trained(self, snapshots: Set[int]) -> Dense:
        """The dense training at its end; the weights at the steps in `snapshots` are kept for `at_step`."""
        with self._record() as record:
            if record.status.get("state") == "diverged":
                raise Diverged(record.status["reason"])
            phase = Train(0, self.steps)
            trainer = self._trainer(record, phase, snapshots)
            trainer.resume()
            if trainer.state.phase == 0:
                self._make(trainer, phase)
            elif record.status.get("state") != "done":  # killed between the two
                record.remove("checkpoint.pt", "previous-checkpoint.pt")
                record.update_status("done")
            return Dense(trainer.net.module.state_dict(), trainer.state, record.read_rows("epochs.jsonl"))

    def at_step(self, step: int) -> dict[str, Tensor]:
        """The weights of the dense training at `step`: kept when it was made, else trained again up to there.

        Trained again they are the same bit for bit on a CPU, and with `deterministic` on a GPU.
        """
        with self._record() as record:
            name, again = f"step_{step}.pt", Record(record.folder / f"to_step_{step}")
            kept = record.load(name, self.data.train.images.device)
            if kept is None or kept.get("owner") != [self.config.dense_id, step]:
                again.folder.mkdir(exist_ok=True)
                phase = Train(0, step)
                trainer = self._trainer(again, phase)
                trainer.resume()
                with threads(self._threads(record)):
                    trainer.train(phase, ends=False)
                kept = trainer.snapshot(step)
                record.save(name, kept)
            shutil.rmtree(again.folder, ignore_errors=True)
        return kept["module"]

    @contextmanager
    def _record(self) -> Iterator[Record]:
        record = open_record(self.config.settings.results, "dense", self.config.dense_id)
        lock, self._lock = self._lock or record.locked(), None
        with lock:
            record.clear_litter()
            yield record

    def _trainer(self, record: Record, phase: Train, snapshots: Set[int] = frozenset()) -> Trainer:
        return Trainer(
            self.config, self.data, record, [phase], self.config.dense_id,
            snapshots=snapshots, made=self.on_epoch, stop=self.stop,
        )  # fmt: skip

    def _make(self, trainer: Trainer, phase: Train) -> None:
        record, count = trainer.record, self._threads(trainer.record)
        record.set_aside_damaged()
        state, reason = "interrupted", "stopped; whoever needs it goes on"
        try:
            with threads(count):
                record.write_json("config.json", {"id": self.config.dense_id, "config": self.config.dense_options})
                record.write_json("environment.json", environment(trainer.device))
                record.update_status("running")
                trainer.train(phase, ends=True)
            trainer.state.phase, trainer.state.step = 1, None
            record.finish(trainer.content(finished=True))
            state = "done"
        except Diverged as error:
            state, reason = "diverged", str(error)
            record.remove("checkpoint.pt", "previous-checkpoint.pt")
            raise
        finally:
            if state != "done":
                record.update_status(state, reason)

    def _threads(self, record: Record) -> int:
        """As many as it began with, where `--threads` does not say otherwise; else as many as the run that asks."""
        try:
            begun = record.read_json("environment.json").get("hardware", {}).get("threads")
        except Damaged:
            begun = None
        return self.config.settings.threads or begun or torch.get_num_threads()
