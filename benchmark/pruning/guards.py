"""The rules of the contract, held at every pruning of every run: breaking one ends the run with one line."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.data import Batches
from benchmark.errors import MethodError, UserError
from benchmark.network import MaskedModel, layers, removable_layers
from benchmark.pruning.masks import missed_target
from benchmark.pruning.plan import Phase, Prune, Rewind, Train
from benchmark.pruning.pruner import Pruned, Pruner, ScoredPruner, SparseTraining, check_names

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def check_class(cls: type[Pruner], name: str) -> None:
    """Raises UserError for a class that cannot be a method: a hook is missing, or `@dataclass` was forgotten."""
    if missing := sorted(getattr(cls, "__abstractmethods__", ())):
        raise UserError(f"pruner '{name}': {cls.__name__} must define {' and '.join(missing)} (see benchmark.Pruner)")
    annotated = vars(cls).get("__annotations__", {})
    declared = {n for n, kind in annotated.items() if not n.startswith("_") and "ClassVar" not in str(kind)}
    params: Any = vars(cls).get("__dataclass_params__")
    own = {f.name for f in fields(cls)}
    if declared - own or (params is None and declared):
        raise UserError(
            f"pruner '{name}': {cls.__name__} declares {', '.join(sorted(declared))} but is no dataclass; "
            "write @dataclass(frozen=True, kw_only=True) above it"
        )
    if params is not None and not params.frozen:
        raise UserError(f"pruner '{name}': {cls.__name__} must not change: write @dataclass(frozen=True, kw_only=True)")
    if "knob" in own or (cls.knob != Pruner.knob and cls.knob not in [*own]):
        raise UserError(
            f"pruner '{name}': {cls.__name__}.knob must name the field that says how much goes, one of "
            f"{', '.join(sorted(own)) or 'those it is to declare'}; got {cls.knob!r}"
        )


def checked_plan(pruner: Pruner, steps: int) -> list[Phase]:
    """The plan for a dense training of `steps`; raises MethodError for one that no run can carry out."""
    with blamed(pruner, "plan"):
        plan = pruner.plan(steps)
    method = type(pruner).__name__
    if not isinstance(plan, list) or not plan or not all(isinstance(p, Train | Prune | Rewind) for p in plan):
        raise MethodError(
            f"{method}.plan must return a list of Train, Prune and Rewind that is not empty, got {plan!r}"
        )
    for phase in plan:
        if isinstance(phase, Train) and (phase.start < 0 or (phase.stop is not None and phase.stop <= phase.start)):
            raise MethodError(f"{method}.plan: {phase} trains no step")
        if isinstance(phase, Rewind) and not 0 <= phase.step <= steps:
            raise MethodError(f"{method}.plan: {phase} is outside of the dense training's {steps} steps")
        if isinstance(phase, Prune) and not 0 <= phase.swap < 1:
            raise MethodError(f"{method}.plan: {phase} must swap a share in [0, 1)")
    targets = [p.sparsity for p in plan if isinstance(p, Prune) and p.sparsity is not None]
    if any(not 0 <= t < 1 for t in targets):
        raise MethodError(f"{method}.plan: a target sparsity must be in [0, 1), got {targets}")
    if any(later < earlier - 1e-12 for earlier, later in pairwise(targets)):
        raise MethodError(f"{method}.plan: target sparsities fall, {targets}; nothing pruned is revived but by swap")
    if isinstance(pruner, ScoredPruner) and ":" in pruner.structure and any(0 < t != pruner.sparsity for t in targets):
        raise UserError(f"{pruner.structure} is reached at once, not by steps {targets}; set pruner.rounds to 1")
    if not isinstance(pruner, SparseTraining) and any(isinstance(p, Prune) and p.swap for p in plan):
        raise MethodError(f"{method}.plan exchanges weights: that takes a SparseTraining")
    return plan


def check_possible(pruner: Pruner, net: MaskedModel, example: Tensor) -> None:
    """Raises UserError, before any training, where the structure cannot be had on this network."""
    if isinstance(pruner, ScoredPruner) and pruner.structure == "filters" and not removable_layers(net, example):
        raise UserError("pruner.structure=filters: no layer of this network has units that can go one by one")


@torch.no_grad()
def decide(pruner: Pruner, net: MaskedModel, batches: Batches, phase: Prune) -> Pruned:
    """What the method keeps at `phase`, held to the contract; all there is, without asking it, at a target of 0.

    Raises MethodError, one line that names the method and the rule, where it is broken.
    """
    if phase.sparsity == 0 and not phase.swap:
        return Pruned(dict(net.masks))
    with _read_only(net, type(pruner).__name__), blamed(pruner, "prune"):
        found = pruner.prune(net, batches, phase)
    try:
        _check_pruned(found, net)
        _check_revived(found, net, phase)
        if phase.sparsity is not None and (missed := _missed(pruner, found, net, batches, phase.sparsity)):
            raise MethodError(f"the target sparsity {phase.sparsity:g} is missed: {missed}")
    except MethodError as error:
        raise MethodError(f"{type(pruner).__name__}.prune: {error}") from None
    return found


@contextlib.contextmanager
def blamed(pruner: Pruner, hook: str) -> Iterator[None]:
    """Whatever a hook raises ends the run as the method's error, with the line that raised it."""
    try:
        yield
    except MethodError as error:
        raise MethodError(f"{type(pruner).__name__}.{hook}: {error}") from None
    except (UserError, MemoryError, torch.OutOfMemoryError, OSError):
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        message = " ".join(str(error).split())[:300]
        no_grad = isinstance(error, RuntimeError) and "grad" in message
        way = "; hooks run without gradients: use loss_gradients or torch.enable_grad()" if no_grad else ""
        raise MethodError(
            f"{type(pruner).__name__}.{hook} raised {type(error).__name__}: {message} "
            f"({Path(last.filename).name}, line {last.lineno}){way}"
        ) from error


@contextlib.contextmanager
def _read_only(net: MaskedModel, method: str) -> Iterator[None]:
    """Hold a hook to reading the network: values, masks, modes, gradients and hooks are as they were."""
    module = net.module
    for parameter in module.parameters():
        parameter.grad = None
    values = {name: tensor.detach().clone() for name, tensor in net.tensors().items()}
    masks = {name: mask.clone() for name, mask in net.masks.items()}
    modes, hooks, trained = _modes(module), _hooks(module), _trained(module)
    yield
    changed = next((n for n, v in net.tensors().items() if n not in values or not _equal(values[n], v)), None)
    if changed is not None or net.tensors().keys() != values.keys():
        raise MethodError(
            f"{method}.prune changed the network's {changed or 'tensors'}; work on a copy (copy.deepcopy)"
        )
    if net.masks.keys() != masks.keys() or not all(torch.equal(net.masks[n], m) for n, m in masks.items()):
        raise MethodError(f"{method}.prune changed net.masks in place; return new masks")
    if _modes(module) != modes:
        raise MethodError(f"{method}.prune left the network in another mode (train, eval); set it on a copy")
    if _hooks(module) != hooks:
        raise MethodError(f"{method}.prune left a hook on the network; remove it, or use a copy")
    if _trained(module) != trained or any(p.grad is not None for p in module.parameters()):
        raise MethodError(f"{method}.prune left gradients on the network; use loss_gradients, or a copy")


def _equal(before: Tensor, after: Tensor) -> bool:
    """Bit by bit, so that a NaN equals itself."""
    if before.shape != after.shape or before.dtype != after.dtype:
        return False
    return torch.equal(before, after) or torch.equal(before.nan_to_num(), after.detach().nan_to_num())


def _modes(module: nn.Module) -> dict[str, bool]:
    return {name: part.training for name, part in module.named_modules()}


def _hooks(module: nn.Module) -> dict[str, int]:
    return {name: sum(len(getattr(part, kind)) for kind in HOOKS) for name, part in module.named_modules()}


def _trained(module: nn.Module) -> dict[str, bool]:
    return {name: parameter.requires_grad for name, parameter in module.named_parameters()}


def _check_pruned(found: object, net: MaskedModel) -> None:
    """Masks and values fit their tensors, and every prunable weight has a mask."""
    if not isinstance(found, Pruned):
        raise MethodError(f"it must return Pruned(masks), got {type(found).__name__}")
    tensors = net.tensors()
    check_names({n: m for n, m in found.masks.items() if n in net.weights or n not in tensors}, net.weights, "mask")
    for kind, part in (("mask", found.masks), ("value", found.values)):
        for name, value in part.items():
            if name not in tensors:
                raise MethodError(f"there is a {kind} for '{name}', which the network does not have")
            dtype = torch.bool if kind == "mask" else tensors[name].dtype
            fits = f"{dtype}, {tuple(tensors[name].shape)}, on {tensors[name].device}"
            if not isinstance(value, Tensor):
                raise MethodError(f"the {kind} of {name} must be a tensor, got {type(value).__name__}")
            if value.dtype != dtype or value.shape != tensors[name].shape or value.device != tensors[name].device:
                had = f"{value.dtype}, {tuple(value.shape)}, on {value.device}"
                raise MethodError(f"the {kind} of {name} must be {fits}; it is {had}")
            if kind == "value" and not torch.isfinite(value).all():
                raise MethodError(f"the values of {name} are not all finite")

    for layer in layers(net.module):
        weight = layer.weight
        if net.spares(weight) and weight in found.masks and not found.masks[weight].all():
            raise MethodError(f"it prunes {weight}, which is spared; masks are for net.weights")


def _check_revived(found: Pruned, net: MaskedModel, phase: Prune) -> None:
    """Nothing comes back but what the phase lets a method exchange."""
    for name, mask in found.masks.items():
        before = net.masks.get(name)
        if before is None:
            continue
        revived = int((mask & ~before).sum())
        allowed = int(phase.swap * int(before.sum()))
        if revived > allowed:
            raise MethodError(f"it revives {revived} entries of {name}; this phase lets it exchange {allowed}")


def _missed(pruner: Pruner, found: Pruned, net: MaskedModel, batches: Sequence[Any], sparsity: float) -> str | None:
    """Where the target is missed, in the groups in which the method's units compete."""
    masks = {name: found.masks[name] for name in net.weights}
    if not isinstance(pruner, ScoredPruner):
        return missed_target(masks, sparsity, "global", "weights")
    if pruner.structure == "filters":
        masks = {name: masks[name] for name in removable_layers(net, batches[0][0][:1])}
    return missed_target(masks, sparsity, pruner.distribution, pruner.structure)
