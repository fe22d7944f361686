"""The optimiser, its learning rate, and training and evaluating over batches."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from inspect import unwrap
from typing import Any

import torch
from torch import Tensor

from benchmark.config import Recipe
from benchmark.data import Batch
from benchmark.errors import Diverged
from benchmark.metrics import Autocast
from benchmark.network import MaskedModel, spare_dynamo
from benchmark.training.graphs import Step, StepGraph
from benchmark.training.soft import Objective, cross_entropy
from benchmark.training.stopping import Stop

LOWEST = 0.01  # of the peak: whatever is trained on at a schedule's last learning rate still learns

_OPTIMIZER = torch.optim.Optimizer
for _method in (_OPTIMIZER.add_param_group, _OPTIMIZER.state_dict, _OPTIMIZER.load_state_dict):
    spare_dynamo(_method)


def make_optimizer(net: MaskedModel, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser over all parameters and the method's own, in PyTorch's fused form where there is one."""
    parameters = [p for p in [*net.module.parameters(), *net.own.values()] if p.requires_grad]
    fused = parameters[0].device.type in ("cpu", "cuda", "mps")
    common: dict[str, Any] = {"lr": recipe.rate, "weight_decay": recipe.weight_decay, "fused": fused}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=recipe.momentum, nesterov=recipe.nesterov, **common)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimizer](parameters, **common)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of `step` (0-based) in a schedule of `steps`, and after it its last one."""
    warm = round(recipe.warmup * steps)
    if step < warm:
        return recipe.rate * (step + 1) / warm
    if recipe.schedule == "step":
        passed = sum(step >= round(fraction * steps) for fraction in recipe.decay_at)
        return recipe.rate * recipe.decay_factor**passed
    left = max(0.0, 1 - (step - warm) / max(1, steps - warm))
    share = left if recipe.schedule == "triangular" else (1 - math.cos(math.pi * left)) / 2
    return recipe.rate * max(LOWEST, share)


def train_steps(
    net: MaskedModel,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Batch],
    rates: Iterable[float],
    autocast: Autocast = contextlib.nullcontext,
    objective: Objective | None = None,
    *,
    seeds: Sequence[int] | None = None,
    stop: Stop | None = None,
    graph: StepGraph | None = None,
) -> Tensor:
    """Take one step for each of `rates`, fewer if asked to stop, on `objective`, by default cross-entropy.

    Returns the losses, (steps,). What the network draws in a step, such as dropout, follows from the step's
    own of `seeds` alone. With `graph` the steps of a GPU are replayed; the objective then must not depend on
    the number of the step.

    A masked weight starts at zero, gets a zero gradient and so stays exactly zero, in the
    optimiser's state too, whatever its momentum and weight decay: one multiplication a step.

    Raises Diverged with the first step, counted from 0, whose loss is not finite.
    """
    net.module.train()
    losses = []
    generators = [] if seeds is None else _generators(next(net.module.parameters()).device)
    step = _step(net, optimizer, autocast, objective or cross_entropy(net))
    with contextlib.nullcontext(step) if graph is None else graph.taking(step, optimizer, net) as take:
        for number, (rate, (inputs, labels)) in enumerate(zip(rates, batches, strict=False)):
            for generator in generators:  # a microsecond; torch.manual_seed takes a hundred
                generator.manual_seed(seeds[number])  # pyright: ignore[reportOptionalSubscript]
            losses.append(take(inputs, labels, rate, number))
            if stop is not None and stop.asked is not None:
                break
    stacked = torch.stack(losses).float()
    if not (finite := torch.isfinite(stacked)).all():
        raise Diverged(int((~finite).nonzero()[0]))
    return stacked


def _step(net: MaskedModel, optimizer: torch.optim.Optimizer, autocast: Autocast, objective: Objective) -> Step:
    """One optimiser step on a batch: it returns the loss, detached."""
    pruned, masks = _float_masks(net)
    groups = optimizer.param_groups
    trained = [parameter for group in groups for parameter in group["params"]]
    update = _bare_step(optimizer)

    def step(inputs: Tensor, labels: Tensor, rate: float | Tensor, number: int) -> Tensor:
        for group in groups:
            group["lr"] = rate
        with autocast():
            loss = objective(inputs, labels, number)
        for parameter in trained:
            parameter.grad = None
        loss.backward()
        if pruned:
            torch._foreach_mul_([p.grad for p in pruned], masks)  # pyright: ignore
        update()
        return loss.detach()

    return step


@torch.no_grad()
def clear_masked_state(net: MaskedModel, optimizer: torch.optim.Optimizer) -> None:
    """Set the optimiser's state of masked weights to zero."""
    tensors = net.tensors()
    for name, mask in net.masks.items():
        for value in optimizer.state.get(tensors[name], {}).values():
            if isinstance(value, Tensor) and value.shape == mask.shape:
                value.masked_fill_(~mask, 0)


def _bare_step(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """The optimiser's step without what torch wraps around it: hooks, which it has none of, and torch._dynamo."""
    return torch.no_grad()(partial(unwrap(type(optimizer).step), optimizer))


def _generators(device: torch.device) -> list[torch.Generator]:
    """Those that a network on `device` may draw from without being told to."""
    if device.type == "cuda":
        return [torch.default_generator, torch.cuda.default_generators[device.index or 0]]
    if device.type == "mps":
        return [torch.default_generator, torch.mps._get_default_mps_generator()]
    return [torch.default_generator]


def _float_masks(net: MaskedModel) -> tuple[list[Tensor], list[Tensor]]:
    """The trained parameters from which something was removed, and their masks as factors."""
    parameters = dict(net.module.named_parameters())
    removed = [n for n, (kept, total) in net.sizes.items() if kept < total and parameters[n].requires_grad]
    return [parameters[n] for n in removed], [net.masks[n].to(parameters[n].dtype) for n in removed]
