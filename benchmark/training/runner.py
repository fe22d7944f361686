"""Carries out a plan: trains, prunes, rewinds, measures. All that changes in a run is its trainer's.

A checkpoint holds all of it, so a run goes on where it was interrupted and ends as if it had not been.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmark.config import RunConfig
from benchmark.data import Dataset, pruning_batches
from benchmark.errors import UserError
from benchmark.metrics import BATCHES, PassFlops, find_engines, latencies, measure, measure_firing, measured_speedups
from benchmark.models import read_weights
from benchmark.network import check_weights
from benchmark.pruning import Phase, Point, Prune, Rewind, SoftPruner, Train, check_possible, decide, measured_points
from benchmark.records import EQUAL, PointRow, Record, Row
from benchmark.seeds import stream_seed
from benchmark.training.dense import DenseTrainings, rewind_steps
from benchmark.training.loop import clear_masked_state
from benchmark.training.profiling import stage
from benchmark.training.state import State
from benchmark.training.stopping import Stop
from benchmark.training.trainer import Trainer


class Runner:
    """One run of its method's plan, from the initial weights of (model, seed) to its last measured point.

    A plan that begins with the whole dense training takes that from `dense`.
    """

    def __init__(
        self,
        config: RunConfig,
        data: Dataset,
        record: Record,
        dense: DenseTrainings,
        made: Callable[[Row], None] = lambda row: None,
        stop: Stop | None = None,
    ) -> None:
        self.config, self.data, self.record, self.dense = config, data, record, dense
        self.settings = config.settings
        self.plan: list[Phase] = config.plan(dense.steps)
        self.points = {point.index: point for point in measured_points(self.plan)}
        self.nearest = _nearest_point(self.plan, measured_points(self.plan))
        soft = config.pruner if isinstance(config.pruner, SoftPruner) else None
        self.trainer = Trainer(config, data, record, self.plan, config.id, soft=soft, made=made, stop=stop)
        self.net = self.trainer.net
        self.given = self._given_weights()
        check_weights(self.net, data.shape)
        check_possible(config.pruner, self.net, data.train.images.new_zeros((1, *data.shape), dtype=torch.float))

    @property
    def state(self) -> State:
        return self.trainer.state

    @property
    def is_from_dense(self) -> bool:
        """Whether the run begins with the dense training that methods share."""
        return self.plan[0] == Train(0, self.dense.steps)

    def reserve(self) -> bool:
        """Whether the dense training that the run starts from is made, or this process alone may make it."""
        return not self.is_from_dense or self.given is not None or self.dense.reserve()

    def execute(self) -> State:
        """Carry out what is left of the plan; the state at its end.

        Where the run stands is saved at every measured point and, in between, often enough that a kill loses no
        more than the epoch under way or ten seconds.
        """
        self.trainer.resume()
        while self.state.phase < len(self.plan) and not self.state.stopped_early:
            phase = self.plan[self.state.phase]
            if isinstance(phase, Prune):
                self._prune(phase)
            elif isinstance(phase, Rewind):
                self._rewind(phase)
            elif self.state.phase == 0 and self.is_from_dense:
                self._take_dense()
            else:
                last = self.state.phase + 1 == len(self.plan)
                self.trainer.train(phase, ends=last or self.state.phase in self.points)
            point = self.points.get(self.state.phase)
            if point:
                self._measure(point)
            self.state.phase, self.state.step = self.state.phase + 1, None
            if point or self.state.phase == len(self.plan):
                self.trainer.save()
            else:
                self.trainer.save_in_time()
        return self.state

    @stage("pruning")
    @torch.no_grad()
    def _prune(self, phase: Prune) -> None:
        state, seed = self.state, self.settings.seed
        opens = [p for p in self.points.values() if p.index >= state.phase]
        state.round = opens[0].round if opens else state.round
        started = time.perf_counter()
        batches = pruning_batches(self.data, seed, state.prunings, self.settings.score_examples)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(seed, "pruning", state.prunings))
            with PassFlops() as passes:
                pruned = decide(self.config.pruner, self.net, batches, phase)
        self.net.apply(pruned.masks, pruned.values)
        if self.net.own and not any(isinstance(p, Prune) for p in self.plan[state.phase + 1 :]):
            self.net.own, self.trainer.optimizer, state.trained = {}, None, []  # an ordinary network from here on
        if self.trainer.optimizer is not None:
            clear_masked_state(self.net, self.trainer.optimizer)
        self.trainer.best = None
        state.prunings += 1
        state.prune_flops += passes.total
        state.prune_seconds += time.perf_counter() - started

    @stage("rewinding")
    def _rewind(self, phase: Rewind) -> None:
        earlier = self.dense.at_step(phase.step) if phase.step else self.trainer.initial_module().state_dict()
        self.net.module.load_state_dict(earlier)
        self.net.apply()
        self.trainer.optimizer, self.state.trained = None, []

    def _given_weights(self) -> dict[str, Tensor] | None:
        """The weights of a file that stand for the dense training, if there is one; read before anything is trained."""
        if self.settings.weights is None:
            return None
        if not self.is_from_dense or any(isinstance(phase, Rewind) for phase in self.plan):
            raise UserError(
                f"weights stand for the dense training: {self.settings.pruner} prunes before it, within it, or goes "
                "back into it; leave --weights out, or choose a method that prunes a trained network"
            )
        return read_weights(self.settings.weights, self.trainer.initial_module())

    def _take_dense(self) -> None:
        if self.given is not None:
            self.net.module.load_state_dict(self.given)
            return
        dense = self.dense.trained(rewind_steps(self.plan))
        self.net.module.load_state_dict(dense.module)
        self.trainer.add(self.record.epochs, *dense.epochs)
        for name in ("steps_total", "train_flops", "train_seconds", "trained"):
            setattr(self.state, name, getattr(dense.state, name))

    @stage("measuring")
    def _measure(self, point: Point) -> None:
        state, trainer = self.state, self.trainer
        phase = self.plan[point.index]
        row: PointRow = {
            "log_step": trainer.log_step,
            "point": self.record.points.count,
            "round": point.round,
            "stage": point.stage,
            "target_sparsity": phase.sparsity if isinstance(phase, Prune) else None,
            **measure(self.net, self.data, trainer.flops, trainer.autocast, self.record.folder),
            "step": state.steps_total,
            "epochs_total": state.steps_total / trainer.steps_per_epoch,
            "train_flops": state.train_flops,
            "train_seconds": state.train_seconds,
            "prune_seconds": state.prune_seconds,
            "prune_flops": state.prune_flops,
        }  # pyright: ignore[reportAssignmentType]  # what `measure` returns has the names of the schema; a test holds it to
        lost = state.lost_too_much(row, self.settings.stop_drop)
        state.stopped_early = lost if state.phase + 1 < len(self.plan) else None
        if self._shows_firing(point, row):
            file = self.record.folder / f"firing-{row['point']}.safetensors"
            row |= measure_firing(self.net, self.data, file)  # pyright: ignore[reportAssignmentType]
        if self.settings.measure_latency and point.stage == "trained":
            row |= self._latency()  # pyright: ignore[reportAssignmentType]
        trainer.add(self.record.points, row)

    def _latency(self) -> Row:
        """The fields of measured latency; none, and a line that says why, where it cannot be measured."""
        engines = find_engines(["torch", "csr"])
        try:
            rows = latencies(self.net, self.data.shape, BATCHES, torch.get_num_threads(), engines)
        except Exception as error:  # what an engine cannot do is no fault of the method
            said = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"{self.record.folder.name}: latency is not measured ({said})", file=sys.stderr)
            return {}
        return {"latency": rows, **measured_speedups(rows)}

    def _shows_firing(self, point: Point, row: PointRow) -> bool:
        """Whether firing rates belong to this point: by default the first, the last, and the one nearest to 16x.

        The plan's targets say which that is; where it has none, the first trained point beyond stands for it.
        """
        if self.settings.firing == "all" or row["point"] == 0 or self.state.stopped_early:
            return True
        if point.index == max(self.points) or point.index == self.nearest:
            return True
        beyond = (row["compression_params"] or math.inf) >= EQUAL and point.stage == "trained"
        first = beyond and self.nearest is None and not self.state.beyond
        self.state.beyond |= beyond
        return first


def _nearest_point(plan: Sequence[Phase], points: Sequence[Point]) -> int | None:
    """The trained point whose target lies nearest to 16x; None where the plan has no targets."""
    found: dict[int, float] = {}
    for point in points:
        targets = [p.sparsity for p in plan[: point.index + 1] if isinstance(p, Prune)]
        if targets and targets[-1] and point.stage == "trained":
            found[point.index] = abs(math.log((1 - targets[-1]) * EQUAL))
    return min(found, key=lambda index: found[index], default=None)
