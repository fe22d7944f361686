"""The contract of a pruning method: a plan of phases, and what to keep at each pruning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from benchmark.data import Batches
from benchmark.errors import MethodError, UserError
from benchmark.fields import check
from benchmark.network import MaskedModel, Masks, removable_layers, whole_units
from benchmark.pruning.masks import (
    Distribution,
    Scores,
    Structure,
    check_sparsity,
    check_structure,
    exchange,
    keep_top,
)
from benchmark.pruning.plan import Phase, Prune, Rounds, geometric_sparsities, prune_at_init, train_prune_retrain

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Pruned:
    """What a pruning decided: masks by parameter name and, for methods that also repair what they keep, new values.

    Every prunable weight has a mask; so may have other parameters and buffers. Values count where masks keep.
    """

    masks: Masks
    values: Tensors = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Pruner(ABC):
    """A pruning method. Its fields are its hyperparameters; it remembers nothing else.

    Hooks read `net` and never write it, run without gradients, and get `batches`: normalised inputs
    and labels from the training split, drawn anew for each Prune, equally many for every method.
    Torch's random state is seeded from (seed, "pruning", number of the pruning) before each call.
    """

    knob: ClassVar[str] = "sparsity"  # the field that says how much goes; runs that differ in it alone are one curve

    def __post_init__(self) -> None:
        check(self, "pruner.")

    @abstractmethod
    def plan(self, steps: int) -> list[Phase]:
        """The whole run as data, for a dense training of `steps` optimiser steps."""

    @abstractmethod
    def prune(self, net: MaskedModel, batches: Batches, phase: Prune) -> Pruned:
        """What to keep from here on."""


@dataclass(frozen=True, kw_only=True)
class ScoredPruner(Pruner):
    """A method that keeps the best-scored units of its structure: most methods."""

    sparsity: float = 0.9  # target in [0, 1): the share of the prunable weights that goes
    distribution: Distribution = (
        "global"  # over "global", "uniform", "erk" layers, or within "rows" (one output unit each)
    )
    structure: Structure = "weights"  # what goes as one: "weights", "kernels", "filters", or "n:m" such as "2:4"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sparsity(self.sparsity, "pruner.sparsity")
        check_structure(self.structure, self.distribution, self.sparsity)

    @abstractmethod
    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        """How much each weight is worth keeping, by parameter name; higher is kept."""

    def plan(self, steps: int) -> list[Phase]:
        """By default prune at initialisation, then train."""
        return prune_at_init(self.sparsity, steps)

    def prune(self, net: MaskedModel, batches: Batches, phase: Prune) -> Pruned:
        """Masks at the phase's target; where filters go, all that belongs to them and reads them goes too."""
        scores = checked_scores(self.score(net, batches), net)
        return Pruned(self.keep(scores, net, batches, phase))

    def keep(self, scores: Scores, net: MaskedModel, batches: Batches, phase: Prune) -> Masks:
        """The masks that these scores give."""
        assert phase.sparsity is not None
        if self.structure != "filters":
            return keep_top(scores, net.masks, phase.sparsity, self.distribution, self.structure)
        example = batches[0][0][:1]
        scored = {name: scores[name] for name in removable_layers(net, example)}
        return whole_units(net, keep_top(scored, net.masks, phase.sparsity, self.distribution, "filters"), example)


@dataclass(frozen=True, kw_only=True)
class IterativePruner(ScoredPruner):
    """A method that reaches its target in rounds, each removing the same share of what is left."""

    rounds: Rounds = 10  # prune-and-retrain rounds, each removing the same share of what is left; 1: at once

    @property
    def targets(self) -> list[float]:
        """The sparsity of each round."""
        return geometric_sparsities(self.sparsity, self.rounds)

    def plan(self, steps: int) -> list[Phase]:
        """By default train, then prune and retrain in every round."""
        return train_prune_retrain(self.targets, steps)


@dataclass(frozen=True, kw_only=True)
class SparseTraining(ScoredPruner):
    """A method that is sparse from the start and exchanges weights while it trains (SET, RigL).

    It begins with random masks; at every later pruning the share `swap` of each layer's kept weights, those with
    the lowest `score`, gives way to those with the highest `grow_score` among the rest, which start at zero.
    """

    distribution: Distribution = "erk"

    @abstractmethod
    def grow_score(self, net: MaskedModel, batches: Batches) -> Scores:
        """How much each weight that is not kept promises, by parameter name; higher is grown."""

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        """By default |w|: the smallest give way."""
        return {name: w.abs() for name, w in net.weights.items()}

    def prune(self, net: MaskedModel, batches: Batches, phase: Prune) -> Pruned:
        """Random masks, or masks that exchange the phase's share."""
        if not phase.swap:
            noise = {name: torch.rand(w.shape).to(w.device) for name, w in net.weights.items()}
            return Pruned(self.keep(noise, net, batches, phase))
        if self.structure != "weights":
            raise UserError(f"weights are exchanged one by one: pruner.structure must be weights, got {self.structure}")
        drop, grow = (checked_scores(hook(net, batches), net) for hook in (self.score, self.grow_score))
        return Pruned(exchange({name: net.masks[name] for name in net.weights}, drop, grow, phase.swap))


@dataclass(frozen=True, kw_only=True)
class SoftPruner(Pruner):
    """A method that takes part in training: tensors of its own, trained with the network, weigh the weights.

    Until the last pruning of the plan the network computes with `effective` weights; the gradients of the loss
    and of the penalty go to the weights and to the method's own tensors, `net.own`, which are trained by the
    same optimiser and checkpointed with the network. `prune` then makes masks, and values, of both.
    """

    @abstractmethod
    def start(self, net: MaskedModel) -> Tensors:
        """The method's own tensors, by names of its choice, before training."""

    @abstractmethod
    def effective(self, weights: Tensors, own: Tensors, progress: float) -> Tensors:
        """What the network computes with in place of its prunable weights, by name: a pure function.

        It may take the place of other parameters too. `progress`, in [0, 1], is the share of the training that is done.
        """

    def penalty(self, weights: Tensors, own: Tensors, progress: float) -> Tensor | None:
        """What training adds to the loss; by default nothing."""
        return None


def checked_scores(scores: Scores, net: MaskedModel) -> Scores:
    """The scores, if there is a finite one for every prunable weight; raises MethodError with the name otherwise."""
    check_names(scores, net.weights, "score")
    for name, weight in net.weights.items():
        score = scores[name]
        if not isinstance(score, Tensor) or score.shape != weight.shape or not score.is_floating_point():
            had = f"{score.dtype}, {tuple(score.shape)}" if isinstance(score, Tensor) else type(score).__name__
            raise MethodError(f"the score of {name} must be floating point, {tuple(weight.shape)}; it is {had}")
        if score.device != weight.device:
            raise MethodError(f"the score of {name} is on {score.device}, its weight on {weight.device}")
        if not torch.isfinite(score).all():
            raise MethodError(f"the scores of {name} are not all finite")
    return scores


def check_names(found: object, expected: Tensors, what: str) -> None:
    """Raises MethodError where there is not one of `what` for every expected name, and no other."""
    if not isinstance(found, dict):
        raise MethodError(f"{what}s must be a dict by parameter name, got {type(found).__name__}")
    for name in expected:
        if name not in found:
            raise MethodError(f"there is no {what} for {name}")
    for name in found:
        if name not in expected:
            raise MethodError(f"there is a {what} for '{name}', which is no prunable weight")
