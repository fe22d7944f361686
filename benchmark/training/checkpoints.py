"""Whether a checkpoint is of this network and plan: nothing of another is gone on with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmark.pruning import Train
from benchmark.training.loop import make_optimizer
from benchmark.training.state import State

if TYPE_CHECKING:
    from benchmark.training.trainer import Trainer


def checked(trainer: Trainer, saved: dict[str, Any]) -> tuple[State, torch.optim.Optimizer | None]:
    """State and optimiser of a checkpoint that fits the trainer's network and plan; the method's own tensors are taken.

    Raises ValueError, or what a wrong structure gives rise to.
    """
    if saved.keys() != trainer.content().keys() or saved["owner"] != trainer.owner:
        raise ValueError("it is of another run, plan or version")
    state = State(**saved["state"])
    whole = _shapes(trainer.net.module.state_dict())
    weights = [saved["module"], *([saved["best"][1]] if saved["best"] else [])]
    if any(_shapes(each) != whole for each in weights):
        raise ValueError("its tensors are of another network")
    tensors, masks = trainer.net.tensors(), saved["masks"]
    fitting = all(m.shape == tensors[n].shape and m.dtype == torch.bool for n, m in masks.items())
    if not (fitting and trainer.net.masks.keys() <= masks.keys()):
        raise ValueError("its masks are of another network")
    own = saved["own"]
    if own and _shapes(own) != _shapes(trainer.net.own):
        raise ValueError("the method's own tensors are of another network")
    trainer.net.own = {name: tensor.requires_grad_() for name, tensor in own.items()}
    if saved["optimizer"] is None:
        return state, None
    phase = trainer.plan[state.phase] if state.phase < len(trainer.plan) else None
    under_way = isinstance(phase, Train) and state.step is not None
    schedule = phase.schedule if under_way and isinstance(phase, Train) else state.trained[0]
    optimizer = make_optimizer(trainer.net, trainer.schedules[schedule])
    optimizer.load_state_dict(saved["optimizer"])
    for parameter, values in optimizer.state.items():
        if any(isinstance(v, Tensor) and v.dim() and v.shape != parameter.shape for v in values.values()):
            raise ValueError("its optimiser is of another network")
    return state, optimizer


def _shapes(tensors: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}
