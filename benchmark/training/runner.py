"""Carries out a plan: trains, prunes, rewinds, measures. All that changes in a run is here.

A checkpoint holds all of it, so a run goes on where it was interrupted and ends as if it had not been.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Set
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from benchmark.config import RunConfig
from benchmark.data import Dataset, pruning_batches, steps_per_epoch, train_batches
from benchmark.errors import Diverged, UserError
from benchmark.metrics import dense_flops, evaluate_split, masked_flops, measure, prefixed, sparsity
from benchmark.models import build_model, read_weights
from benchmark.network import MaskedModel, check_weights
from benchmark.pruning import Phase, Point, Prune, Rewind, SoftPruner, Train, decide, measured_points
from benchmark.records import Record, Row
from benchmark.seeds import stream_seed
from benchmark.training.dense import dense_training, rewind_steps, snapshot
from benchmark.training.loop import clear_masked_state, learning_rate, make_optimizer, train_steps
from benchmark.training.soft import Objective, effective_weights, own_tensors, soft_objective
from benchmark.training.state import State

BACKWARD = 3  # training FLOPs per forward FLOP: one forward pass, two products backward


def _ignore(row: Row) -> None:
    pass


class Runner:
    """One run of a plan, from the initial weights of (model, seed) to its last measured point."""

    def __init__(
        self,
        config: RunConfig,
        data: Dataset,
        record: Record,
        *,
        plan: list[Phase] | None = None,
        snapshots: Set[int] = frozenset(),
        on_epoch: Callable[[Row], None] = _ignore,
        on_point: Callable[[Row], None] = _ignore,
        on_dense_epoch: Callable[[Row], None] = _ignore,
    ) -> None:
        self.config, self.data, self.record, self.snapshots = config, data, record, snapshots
        self.settings = config.settings
        self.device = data.train.images.device
        self.steps_per_epoch = steps_per_epoch(data, self.settings.train.batch_size)
        self.schedules = {"train": self.settings.train, "retrain": config.retraining}
        steps = self.settings.train.epochs * self.steps_per_epoch
        self.plan = config.plan(steps) if plan is None else plan
        self.shared = plan is None and self.plan[:1] == [Train(0, steps)]
        self.given = self._given_weights() if plan is None else None
        self.points = {point.index: point for point in measured_points(self.plan)} if plan is None else {}
        self.on_epoch, self.on_point, self.on_dense_epoch = on_epoch, on_point, on_dense_epoch
        self.net = MaskedModel(self._initial_module(), self.settings.spare)
        self.soft = config.pruner if plan is None and isinstance(config.pruner, SoftPruner) else None
        check_weights(self.net, data.shape)
        self.flops = dense_flops(self.net.module, data.shape)
        self.state = State()
        self.shown = 0  # rows that on_epoch and on_point were given
        self.optimizer: torch.optim.Optimizer | None = None
        self.best: tuple[float, dict[str, Tensor]] | None = None
        self.new_losses: list[Tensor] = []

    def execute(self) -> State:
        """Carry out what is left of the plan; the state at its end."""
        if self.soft is not None:
            self.net.own = own_tensors(self.soft, self.net)
        self._resume()
        while self.state.phase < len(self.plan) and not self.state.stopped_early:
            phase = self.plan[self.state.phase]
            if isinstance(phase, Prune):
                self._prune(phase)
            elif isinstance(phase, Rewind):
                self._rewind(phase)
            elif self.shared and self.state.phase == 0:
                self._take_dense()
            else:
                self._train(phase)
            if point := self.points.get(self.state.phase):
                self._measure(point)
            self.state.phase, self.state.step = self.state.phase + 1, None
            self._save()
        return self.state

    # Phases

    def _train(self, phase: Train) -> None:
        recipe, state = self.schedules[phase.schedule], self.state
        steps = recipe.epochs * self.steps_per_epoch
        stop = steps if phase.stop is None else phase.stop
        if state.step is None:
            state.step = phase.start
            if self.optimizer is None or state.trained != [phase.schedule, phase.lr, phase.start]:
                self.optimizer = make_optimizer(self.net, recipe)
                self.best = None
        assert self.optimizer is not None
        while state.step < stop:
            epoch, first = divmod(state.step, self.steps_per_epoch)
            end = min(s for s in (stop, (epoch + 1) * self.steps_per_epoch, *self.snapshots) if s > state.step)
            window, last = range(state.step, end), first + end - state.step
            rates = [learning_rate(recipe, s, steps) if phase.lr is None else phase.lr for s in window]
            order = epoch if phase.schedule == "train" else self._retraining_epoch(epoch)
            started = time.perf_counter()
            self._train_window(order, first, last, rates)
            seconds = time.perf_counter() - started
            state.step = end
            self._account(len(window), seconds)
            if end in self.snapshots:
                self.record.save(f"step_{end}.pt", self.net.module.state_dict())
            if last == self.steps_per_epoch or self._ends_training(stop):
                self._end_epoch(phase, rates[-1], seconds, len(window))
                if state.step < stop:
                    self._save()
        state.trained = [phase.schedule, phase.lr, stop]
        if self.best is not None and self._ends_training(stop):
            self.net.module.load_state_dict(self.best[1])

    def _train_window(self, order: int, first: int, last: int, rates: list[float]) -> None:
        assert self.optimizer is not None
        batches = train_batches(self.data, self.settings.seed, order, self.settings.train.batch_size, first, last)
        torch.manual_seed(stream_seed(self.settings.seed, "forward", order, first))
        try:
            losses = train_steps(self.net, self.optimizer, batches, rates, self._autocast, self._objective())
        except Diverged as error:
            at = f"epoch {len(self.state.epochs) + 1}, step {self.state.steps_total + error.args[0] + 1}"
            raise Diverged(f"the training loss is not finite at {at}; try a smaller --train.lr") from None
        self.new_losses.append(losses.mean())

    def _end_epoch(self, phase: Train, rate: float, seconds: float, steps: int) -> None:
        validation = self._evaluate("validation")
        if not math.isfinite(validation["loss"]):
            at = f"epoch {len(self.state.epochs) + 1}, step {self.state.steps_total}"
            raise Diverged(f"the validation loss is not finite at {at}; try a smaller --train.lr")
        row: Row = {
            "log_step": len(self.state.rows),
            "epoch": len(self.state.epochs) + 1,
            "round": self.state.round,
            "schedule": phase.schedule,
            "step": self.state.steps_total,
            "lr": rate,
            "train_loss": torch.stack(self.new_losses).mean().item(),
            **prefixed("val_", validation),
            "sparsity_prunable": sparsity(self.net),
            "seconds": seconds,
            "images_per_second": steps * self.settings.train.batch_size / seconds,
        }
        self.new_losses = []
        if self.settings.protocol == "paper":
            row |= prefixed("test_", self._evaluate("test"))
        if self.settings.protocol == "paper" or self.settings.select == "best":
            score = row.get("test_top1", row["val_top1"])
            if self.best is None or score > self.best[0]:
                self.best = score, copy.deepcopy(self.net.module.state_dict())
        self.state.epochs.append(row)

    @torch.no_grad()
    def _prune(self, phase: Prune) -> None:
        state, seed = self.state, self.settings.seed
        opens = [p for p in self.points.values() if p.index >= state.phase]
        state.round = opens[0].round if opens else state.round
        started = time.perf_counter()
        batches = pruning_batches(self.data, seed, state.prunings, self.settings.score_examples)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(seed, "pruning", state.prunings))
            pruned = decide(self.config.pruner, self.net, batches, phase)
        self.net.apply(pruned.masks, pruned.values)
        if self.net.own and not any(isinstance(p, Prune) for p in self.plan[state.phase + 1 :]):
            self.net.own, self.optimizer, state.trained = {}, None, []  # an ordinary network from here on
        if self.optimizer is not None:
            clear_masked_state(self.net, self.optimizer)
        self.best = None
        state.prunings += 1
        state.prune_seconds += time.perf_counter() - started

    def _rewind(self, phase: Rewind) -> None:
        if phase.step == 0:
            earlier = self._initial_module().state_dict()
        else:
            earlier = snapshot(self.config, self.data, phase.step)
        self.net.module.load_state_dict(earlier)
        self.net.apply()
        self.optimizer, self.state.trained = None, []

    def _given_weights(self) -> dict[str, Tensor] | None:
        """The weights of a file that stand for the dense training, if there is one; read before anything is trained."""
        if self.settings.weights is None:
            return None
        if not self.shared or any(isinstance(phase, Rewind) for phase in self.plan):
            raise UserError(
                f"weights stand for the dense training: {self.settings.pruner} prunes before it, within it, or goes "
                "back into it; leave --weights out, or choose a method that prunes a trained network"
            )
        return read_weights(self.settings.weights, self._initial_module())

    def _take_dense(self) -> None:
        if self.given is not None:
            self.net.module.load_state_dict(self.given)
            return
        dense = dense_training(self.config, self.data, rewind_steps(self.config, self.data), self.on_dense_epoch)
        self.net.module.load_state_dict(dense["module"])
        self.state.epochs += dense["state"]["epochs"]
        for name in ("steps_total", "train_flops", "train_seconds"):
            setattr(self.state, name, dense["state"][name])
        self.state.trained = dense["state"]["trained"]

    # Measuring

    def _measure(self, point: Point) -> None:
        state = self.state
        phase = self.plan[point.index]
        firing_file = f"firing-{len(state.points)}.safetensors"
        row: Row = {
            "log_step": len(self.state.rows),
            "point": len(state.points),
            "round": point.round,
            "stage": point.stage,
            "target_sparsity": phase.sparsity if isinstance(phase, Prune) else None,
            **measure(self.net, self.data, self.flops, self._autocast, self.record.folder / firing_file),
            "step": state.steps_total,
            "epochs_total": state.steps_total / self.steps_per_epoch,
            "train_flops": state.train_flops,
            "train_seconds": state.train_seconds,
            "prune_seconds": state.prune_seconds,
        }
        state.points.append(row)
        if state.phase + 1 < len(self.plan):
            state.stopped_early = state.lost_too_much(self.settings.stop_drop)

    def _evaluate(self, split: str) -> Row:
        with self._effective():
            return evaluate_split(self.net, self.data, split, self._autocast)

    def _objective(self) -> Objective | None:
        """What is trained for, where the method takes part in it."""
        if self.soft is None or not self.net.own:
            return None
        return soft_objective(self.soft, self.net, self._progress)

    def _effective(self) -> contextlib.AbstractContextManager[None]:
        if self.soft is None or not self.net.own:
            return contextlib.nullcontext()
        return effective_weights(self.soft, self.net, self._progress(0))

    def _progress(self, step: int) -> float:
        """The share of the training under way that is done, `step` steps into its window."""
        return min(1.0, ((self.state.step or 0) + step) / (self.settings.train.epochs * self.steps_per_epoch))

    def _account(self, steps: int, seconds: float) -> None:
        examples = steps * self.settings.train.batch_size
        self.state.steps_total += steps
        self.state.train_flops += BACKWARD * masked_flops(self.net, self.flops) * examples
        self.state.train_seconds += seconds

    # State

    def _save(self) -> None:
        self.record.save_checkpoint(
            {
                "state": asdict(self.state),
                "module": self.net.module.state_dict(),
                "masks": self.net.masks,
                "own": {name: tensor.detach() for name, tensor in self.net.own.items()},
                "optimizer": None if self.optimizer is None else self.optimizer.state_dict(),
                "best": self.best,
                "new_losses": self.new_losses,
            },
        )
        self._write_rows()

    def _write_rows(self) -> None:
        """Bring the record's rows up to the checkpoint's, then show the new ones: none is shown that could be lost."""
        self.record.write_rows("epochs.jsonl", self.state.epochs)
        self.record.write_rows("points.jsonl", self.state.points)
        for row in self.state.rows[self.shown :]:
            self.shown += 1
            (self.on_point if "point" in row else self.on_epoch)(row)

    def _resume(self) -> None:
        saved = self.record.load("checkpoint.pt", self.device)
        if saved is None:
            return
        self.state = State(**saved["state"])
        self.net.module.load_state_dict(saved["module"])
        self.net.masks = saved["masks"]
        self.net.own = {name: tensor.requires_grad_() for name, tensor in saved["own"].items()}
        self.best, self.new_losses = saved["best"], saved["new_losses"]
        if saved["optimizer"] is not None:
            schedule = self._schedule_under_way()
            self.optimizer = make_optimizer(self.net, self.schedules[schedule])
            self.optimizer.load_state_dict(saved["optimizer"])
        self._write_rows()  # a kill may have come between the checkpoint and its rows

    def _schedule_under_way(self) -> str:
        phase = self.plan[self.state.phase] if self.state.phase < len(self.plan) else None
        if isinstance(phase, Train) and self.state.step is not None:
            return phase.schedule
        return self.state.trained[0]

    def _initial_module(self) -> torch.nn.Module:
        s = self.settings
        options = {"shortcut": s.shortcut, "stem": s.stem}
        module = build_model(s.model, self.data.classes, s.seed, shape=self.data.shape, **options)
        module = module.to(self.device)
        return module.to(memory_format=torch.channels_last) if s.channels_last else module  # pyright: ignore

    def _retraining_epoch(self, epoch: int) -> int:
        """The number, for the data order, of an epoch of this round's retraining: no order comes twice."""
        return self.settings.train.epochs + max(self.state.round - 1, 0) * self.schedules["retrain"].epochs + epoch

    def _ends_training(self, stop: int) -> bool:
        """Whether the window under way reaches `stop` and is the last before a measured point."""
        ends = self.state.phase in self.points or self.state.phase + 1 == len(self.plan)
        return self.state.step == stop and ends

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.settings.amp == "none":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)
