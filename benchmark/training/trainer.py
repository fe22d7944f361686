"""What trains a network so that a kill loses little: windows of a schedule, a row per epoch, checkpoints."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import asdict
from typing import Any, NoReturn

import torch
from torch import Tensor

from benchmark.config import RunConfig
from benchmark.data import Dataset, steps_per_epoch, train_batches
from benchmark.errors import Diverged, Interrupted
from benchmark.metrics import dense_flops, evaluate_split, masked_flops, prefixed, sparsity
from benchmark.network import MaskedModel
from benchmark.pruning import Phase, SoftPruner, Train
from benchmark.records import Damaged, EpochRow, Record, Row, Rows, set_aside
from benchmark.seeds import stream
from benchmark.training.checkpoints import checked
from benchmark.training.graphs import StepGraph
from benchmark.training.loop import learning_rate, make_optimizer, train_steps
from benchmark.training.profiling import stage
from benchmark.training.soft import Objective, cross_entropy, effective_weights, own_tensors, soft_objective
from benchmark.training.state import State
from benchmark.training.stopping import Stop

BACKWARD = 3  # training FLOPs per forward FLOP: one forward pass, two products backward
CHECKPOINT_SECONDS = 10.0  # a kill loses no more work than this, or the epoch under way


class Trainer:
    """A network on its way through the `Train` phases of `plan`, from the initial weights of (model, seed).

    `identity` says whose checkpoints are its own. `made` sees each row at once, `kept` once a checkpoint
    counts it, so none that could be lost; after an interruption `kept` sees all rows again.
    """

    def __init__(
        self,
        config: RunConfig,
        data: Dataset,
        record: Record,
        plan: Sequence[Phase],
        identity: str,
        *,
        soft: SoftPruner | None = None,
        snapshots: Set[int] = frozenset(),
        made: Callable[[Row], None] = lambda row: None,
        stop: Stop | None = None,
    ) -> None:
        self.config, self.data, self.record, self.soft, self.snapshots = config, data, record, soft, snapshots
        self.settings = config.settings
        self.plan, self.owner = plan, [identity, repr(list(plan))]  # whose a checkpoint is
        self.made, self.stop = made, stop or Stop()
        self.kept: Callable[[Row], None] = lambda row: None
        self.device = data.train.images.device
        self.steps_per_epoch = steps_per_epoch(data, self.settings.train.batch_size)
        self.schedules = {"train": self.settings.train, "retrain": config.retraining}
        self.net = MaskedModel(self.initial_module(), self.settings.spare)
        self.flops = dense_flops(self.net.module, data.shape)
        self._sized: tuple[object, tuple[float, float]] = None, (0.0, 0.0)  # of which counts, and what `_size` is
        self.graph = StepGraph(self.device) if self.settings.cuda_graph and self.device.type == "cuda" else None
        self.state = State()
        self.optimizer: torch.optim.Optimizer | None = None
        self.best: tuple[float, dict[str, Tensor]] | None = None
        self.losses: list[Tensor] = []  # of the epoch under way, by step
        self.unkept: list[Row] = []
        self._saved = self._looked = time.monotonic()

    def train(self, phase: Train, ends: bool) -> None:
        """Carry out what is left of a phase; `ends` where the network is measured after it.

        Asked to stop, it ends after the step under way with a checkpoint there.
        """
        recipe, state = self.schedules[phase.schedule], self.state
        stop = recipe.epochs * self.steps_per_epoch if phase.stop is None else phase.stop
        if state.step is None:
            state.step = phase.start
            if self.optimizer is None or state.trained != [phase.schedule, phase.lr, phase.start]:
                self.optimizer = make_optimizer(self.net, recipe)
                self.best = None
        try:
            while True:
                if self.losses and (state.step % self.steps_per_epoch == 0 or (ends and state.step == stop)):
                    self._end_epoch(phase)
                    self.save_in_time()
                if state.step >= stop:
                    break
                with self.stop.held():
                    self._train_window(phase, stop)
            with self.stop.held():
                self._account()
                state.trained = [phase.schedule, phase.lr, stop]
                if self.best is not None and ends:
                    self.net.module.load_state_dict(self.best[1])
        except Interrupted:
            self.save()
            raise

    @stage("training")
    def _train_window(self, phase: Train, stop: int) -> None:
        """Train up to the end of the epoch, a snapshot or `stop`, or until asked to stop."""
        state = self.state
        assert state.step is not None
        assert self.optimizer is not None
        epoch, first = divmod(state.step, self.steps_per_epoch)
        end = min(s for s in (stop, (epoch + 1) * self.steps_per_epoch, *self.snapshots) if s > state.step)
        last = first + end - state.step
        order = epoch if phase.schedule == "train" else self._retraining_epoch(epoch)
        seed, train = self.settings.seed, self.settings.train
        seeds = torch.randint(2**62, (self.steps_per_epoch,), generator=stream(seed, "forward", order))
        started = time.perf_counter()
        try:
            losses = train_steps(
                self.net,
                self.optimizer,
                train_batches(self.data, seed, order, train.batch_size, first, last, train.augmentation),
                [self._rate(phase, step) for step in range(state.step, end)],
                self.autocast,
                self._objective(),
                seeds=seeds[first:last].tolist(),
                stop=self.stop,
                graph=None if self.net.own else self.graph,
            )
        except Diverged as error:
            self._diverge("training", state.steps_total + error.args[0] + 1)
        seconds = time.perf_counter() - started
        self.losses.append(losses)
        state.step += len(losses)
        state.steps_total += len(losses)
        state.steps_open += len(losses)
        state.train_seconds += seconds
        state.epoch_seconds += seconds
        if state.step in self.snapshots:
            self.record.save(f"step_{state.step}.pt", self.snapshot(state.step))

    def _end_epoch(self, phase: Train) -> None:
        state = self.state
        validation = self.evaluate("validation")
        if not math.isfinite(validation["loss"]):
            self._diverge("validation", state.steps_total)
        test = self.evaluate("test") if self.settings.protocol == "paper" else {}
        losses = torch.cat(self.losses)
        assert state.step is not None
        row: EpochRow = {
            "log_step": self.log_step,
            "epoch": self.record.epochs.count + 1,
            "round": state.round,
            "schedule": phase.schedule,
            "step": state.steps_total,
            "lr": self._rate(phase, state.step - 1),
            "train_loss": losses.mean().item(),
            **prefixed("val_", validation),
            "sparsity_prunable": self._size[0],
            "seconds": state.epoch_seconds,
            "images_per_second": len(losses) * self.settings.train.batch_size / state.epoch_seconds,
            **prefixed("test_", test),
        }  # pyright: ignore[reportAssignmentType]  # accuracies are under names that a type checker cannot see
        with self.stop.held():
            self._account()
            self.losses, state.epoch_seconds = [], 0.0
            if self.settings.protocol == "paper" or self.settings.select == "best":
                score = row.get("test_top1", row["val_top1"])
                if self.best is None or score > self.best[0]:
                    self.best = score, copy.deepcopy(self.net.module.state_dict())
            self.add(self.record.epochs, row)

    def _account(self) -> None:
        """Count the FLOPs of the steps since the last time; the masks were the same for all of them."""
        examples = self.state.steps_open * self.settings.train.batch_size
        self.state.train_flops += BACKWARD * self._size[1] * examples
        self.state.steps_open = 0

    @property
    def _size(self) -> tuple[float, float]:
        """Sparsity and FLOPs of the network as its masks are; counted again where they changed."""
        if self._sized[0] is not self.net.sizes:
            self._sized = self.net.sizes, (sparsity(self.net), masked_flops(self.net, self.flops))
        return self._sized[1]

    def _diverge(self, what: str, step: int) -> NoReturn:
        at = f"epoch {self.record.epochs.count + 1}, step {step}"
        raise Diverged(f"the {what} loss is not finite at {at}; try a smaller --train.lr") from None

    def _rate(self, phase: Train, step: int) -> float:
        recipe = self.schedules[phase.schedule]
        return learning_rate(recipe, step, recipe.epochs * self.steps_per_epoch) if phase.lr is None else phase.lr

    def _retraining_epoch(self, epoch: int) -> int:
        """The number, for the data order, of an epoch of this round's retraining: no order comes twice."""
        return self.settings.train.epochs + max(self.state.round - 1, 0) * self.schedules["retrain"].epochs + epoch

    # Rows and checkpoints

    @property
    def log_step(self) -> int:
        """The number of the next row, of whichever file."""
        return self.record.epochs.count + self.record.points.count

    def add(self, file: Rows, *rows: Any) -> None:
        file.append(*rows)
        for row in rows:
            self.unkept.append(row)
            self.made(row)

    def save_in_time(self) -> None:
        """Save, if as much work again would be more than a kill may lose."""
        now = time.monotonic()
        work, self._looked = now - self._looked, now
        if now - self._saved + work >= CHECKPOINT_SECONDS:
            self.save()

    @stage("checkpoints")
    def save(self) -> None:
        """Save where the training stands; rows go to the disk before the checkpoint that counts them."""
        for rows in (self.record.epochs, self.record.points):
            rows.to_disk()
        self.record.save_checkpoint(self.content())
        self._saved = time.monotonic()
        self._show_kept()

    def content(self, finished: bool = False) -> dict[str, Any]:
        """What a checkpoint holds; of a `finished` training without what only training needs."""
        self.state.epochs, self.state.points = self.record.epochs.end, self.record.points.end
        trains = self.optimizer is not None and not finished
        return {
            "owner": self.owner,
            "state": asdict(self.state),
            "module": self.net.module.state_dict(),
            "masks": self.net.masks,
            "own": {name: tensor.detach() for name, tensor in self.net.own.items()},
            "optimizer": self.optimizer.state_dict() if trains and self.optimizer else None,
            "best": None if finished else self.best,
            "losses": torch.cat(self.losses) if self.losses else None,
        }

    def resume(self) -> None:
        """Go on from the network of a finished training or the last good checkpoint; else begin, without any rows.

        What is damaged or not of this training is set aside, and so are rows that a checkpoint counts and that
        are no longer there as they were: then all that depends on them is made anew.
        """
        record = self.record
        self.net.own = {} if self.soft is None else own_tensors(self.soft, self.net)
        for name in ("network.pt", "checkpoint.pt", "previous-checkpoint.pt"):
            saved = record.load(name, self.device)
            if saved is None:
                continue
            try:
                state, optimizer = checked(self, saved)
            except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
                self.net.own = {} if self.soft is None else own_tensors(self.soft, self.net)
                set_aside(record.folder / name, f"not where this training stands: {error}")
                continue
            with contextlib.suppress(Damaged):  # rows, which by then are named and set aside
                rows = [*record.epochs.go_back(state.epochs), *record.points.go_back(state.points)]
                self._take(saved, state, optimizer)
                self.unkept = sorted(rows, key=lambda row: row["log_step"])
                self._show_kept()
                return
        record.remove("network.pt", "checkpoint.pt", "previous-checkpoint.pt")
        for rows in (record.epochs, record.points):
            rows.go_back([0, ""])
            rows.append()

    def _take(self, saved: dict[str, Any], state: State, optimizer: torch.optim.Optimizer | None) -> None:
        self.state, self.optimizer, self.best = state, optimizer, saved["best"]
        self.losses = [] if saved["losses"] is None else [saved["losses"]]
        self.net.module.load_state_dict(saved["module"])
        self.net.masks = saved["masks"]

    def _show_kept(self) -> None:
        kept, self.unkept = self.unkept, []
        for row in kept:
            self.kept(row)

    # The network

    def initial_module(self) -> torch.nn.Module:
        s = self.settings
        module = self.config.network.build(self.data.classes, s.seed, self.data.shape).to(self.device)
        return module.to(memory_format=torch.channels_last) if s.channels_last else module  # pyright: ignore

    def snapshot(self, step: int) -> dict[str, Any]:
        """The weights of now, which are those of `step`, as they are kept for rewinding."""
        return {"owner": [self.owner[0], step], "module": self.net.module.state_dict()}

    @stage("evaluation")
    def evaluate(self, split: str) -> Row:
        with self._effective():
            return evaluate_split(self.net, self.data, split, self.autocast)

    def _effective(self) -> contextlib.AbstractContextManager[None]:
        if self.soft is None or not self.net.own:
            return contextlib.nullcontext()
        return effective_weights(self.soft, self.net, self._progress(0))

    def _objective(self) -> Objective:
        """What is trained for."""
        smoothing = self.settings.train.label_smoothing
        if self.soft is None or not self.net.own:
            return cross_entropy(self.net, smoothing)
        return soft_objective(self.soft, self.net, self._progress, smoothing)

    def _progress(self, step: int) -> float:
        """The share of the training under way that is done, `step` steps into its window."""
        return min(1.0, ((self.state.step or 0) + step) / (self.settings.train.epochs * self.steps_per_epoch))

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.settings.amp == "none":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)
