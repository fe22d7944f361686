"""A run as data: the phases Train, Prune and Rewind, and the plans of the known families."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from annotated_types import Ge, Le

from benchmark.errors import UserError

Schedule = Literal["train", "retrain"]
Rounds = Annotated[int, Ge(1), Le(1000)]  # of pruning; more than any paper has


@dataclass(frozen=True)
class Train:
    """Train in the window [`start`, `stop`) of a learning-rate schedule, in optimiser steps.

    `schedule` names it: the dense training's (`train`) or the retraining recipe's (`retrain`);
    a given `lr` is constant instead. `stop=None` is the schedule's end, so a plan need not know
    how long retraining is. A window that starts where the last one of the same schedule stopped
    goes on with its optimiser; every other starts with a fresh one.
    """

    start: int
    stop: int | None
    lr: float | None = None
    schedule: Schedule = "train"


@dataclass(frozen=True)
class Prune:
    """Ask the pruner for new masks.

    `sparsity` is the target in [0, 1), or None where the method's own rule decides. `swap` is the
    share of the kept weights that the masks may exchange for others (dynamic sparse training). A pruning
    `within` a training, as every swap is, begins no round, and nothing is measured at it.
    """

    sparsity: float | None
    swap: float = 0.0
    within: bool = False

    @property
    def opens_round(self) -> bool:
        """Whether a round of prune-and-train may begin here."""
        return not (self.within or self.swap)


@dataclass(frozen=True)
class Rewind:
    """Put the surviving parameters and all buffers back to their values at `step` of dense training."""

    step: int


Phase = Train | Prune | Rewind

RETRAIN = Train(0, None, schedule="retrain")


def prune_at_init(sparsities: float | Sequence[float | None] | None, steps: int) -> list[Phase]:
    """Prune before any training (once for every sparsity given), then train for `steps`."""
    return [*map(Prune, _listed(sparsities)), Train(0, steps)]


def train_prune_retrain(sparsities: Iterable[float | None], steps: int) -> list[Phase]:
    """Train, then for every sparsity prune and retrain with the retraining recipe."""
    return [Train(0, steps), *(phase for s in sparsities for phase in (Prune(s), RETRAIN))]


def train_prune_rewind(sparsities: Iterable[float | None], steps: int, step: int, weights: bool = True) -> list[Phase]:
    """Train, then for every sparsity prune, rewind to `step` and train again from there.

    Without `weights` only the learning rate is rewound.
    """
    if not 0 <= step < steps:
        raise UserError(f"rewind step must be in [0, {steps}), the steps of dense training, got {step}")
    back = [Rewind(step)] if weights else []
    rounds = [[Prune(s), *back, Train(step, steps)] for s in sparsities]
    return [Train(0, steps), *(phase for round_ in rounds for phase in round_)]


def train_prune_train_on(sparsities: Iterable[float | None], steps: int, length: int) -> list[Phase]:
    """Train, then for every sparsity prune and train on for `length` steps at the training's last learning rate."""
    rounds = [[Prune(s), Train(steps + i * length, steps + (i + 1) * length)] for i, s in enumerate(sparsities)]
    return [Train(0, steps), *(phase for round_ in rounds for phase in round_)]


def train_sparsely(sparsity: float, steps: int, every: int, until: int, swap: Callable[[float], float]) -> list[Phase]:
    """Prune before any training; then train, and every `every` steps, before step `until`, exchange weights.

    `swap` gives the share to exchange from the share of the way to `until`, in (0, 1).
    """
    times = range(every, min(until, steps), every)
    exchanges = [Prune(sparsity, swap=swap(step / until)) for step in times]
    return [Prune(sparsity), *_trained_between(times, exchanges, steps)]


def prune_gradually(targets: Sequence[tuple[int, float]], steps: int) -> list[Phase]:
    """Train for `steps`, and at each (step, sparsity) prune to it; one round, opened by an empty pruning."""
    return [Prune(0.0), *_trained_between([s for s, _ in targets], [Prune(t, within=True) for _, t in targets], steps)]


def train_softly(sparsity: float | None, steps: int) -> list[Phase]:
    """Train for `steps` with a method that takes part in training, which prunes at the end."""
    return [Prune(0.0), Train(0, steps), Prune(sparsity, within=True)]


def _trained_between(times: Sequence[int], prunings: Sequence[Prune], steps: int) -> list[Phase]:
    """One training of `steps`, with the prunings at their times."""
    edges = [0, *times, steps]
    windows = [Train(start, stop) for start, stop in pairwise(edges) if stop > start]
    if len(windows) != len(prunings) + 1:
        raise UserError(
            f"prunings within a training of {steps} steps must be at rising steps after the first and before the last, "
            f"got {list(times)}; train for longer, or prune elsewhere"
        )
    return [windows[0], *(phase for pair in zip(prunings, windows[1:], strict=True) for phase in pair)]


def geometric_sparsities(sparsity: float, rounds: int) -> list[float]:
    """Targets of `rounds` rounds that each remove the same share of what is left, ending at `sparsity`."""
    return [1 - (1 - sparsity) ** (i / rounds) for i in range(1, rounds)] + [sparsity]


def _listed(sparsities: float | Sequence[float | None] | None) -> Sequence[float | None]:
    return sparsities if isinstance(sparsities, Sequence) else [sparsities]


@dataclass(frozen=True)
class Point:
    """Where the runner measures: after phase `index` of the plan.

    `stage` is `pruned` before a round's training, `trained` at its end, also where it trains nothing.
    `round` counts prune-and-train rounds; 0 is the network before any pruning.
    """

    index: int
    round: int
    stage: Literal["pruned", "trained"]


def measured_points(plan: Sequence[Phase]) -> list[Point]:
    """The points of a plan: before and after the training of every round.

    Prunings with nothing trained between them are one round; so is a training with prunings within.
    """
    points: list[Point] = []
    round_ = 0
    trained = False  # since the last round began
    for i, (phase, following) in enumerate(pairwise([*plan, None])):
        if isinstance(phase, Prune) and phase.opens_round:
            if trained or round_ == 0:
                round_, trained = round_ + 1, False
            if not isinstance(following, Prune):
                points.append(Point(i, round_, "pruned" if following is not None else "trained"))
        elif not isinstance(phase, Rewind):
            trained = True
            if following is None or (isinstance(following, Prune) and following.opens_round):
                points.append(Point(i, round_, "trained"))
    return points


Family = Literal["never", "at initialisation", "while training", "after training", "rewinding"]


def family(plan: Sequence[Phase], steps: int) -> Family:
    """When a plan for a dense training of `steps` prunes."""
    real = [i for i, phase in enumerate(plan) if isinstance(phase, Prune) and phase.sparsity != 0]
    if not real:
        return "never"
    before = [phase for phase in plan[: real[0]] if isinstance(phase, Train)]
    after = [phase for phase in plan[real[0] :] if isinstance(phase, Train) and phase.schedule == "train"]
    trained = bool(before) and before[-1].stop == steps
    if any(isinstance(phase, Rewind) for phase in plan) or (trained and any(t.start < steps for t in after)):
        return "rewinding"
    if any(isinstance(phase, Prune) and not phase.opens_round for phase in plan):
        return "while training"
    if not before:
        return "at initialisation"
    return "after training" if trained else "while training"


def without_retraining(plan: Sequence[Phase]) -> list[Phase]:
    """The plan where a retraining has no epochs: what is pruned after a training is measured as it is."""
    return [phase for phase in plan if phase != RETRAIN]


def epochs_of(plan: Sequence[Phase], steps_per_epoch: int, train_epochs: int, retrain_epochs: int) -> float:
    """The training that a plan costs, in epochs."""
    ends = {"train": train_epochs * steps_per_epoch, "retrain": retrain_epochs * steps_per_epoch}
    trainings = (phase for phase in plan if isinstance(phase, Train))
    return sum((ends[t.schedule] if t.stop is None else t.stop) - t.start for t in trainings) / steps_per_epoch
