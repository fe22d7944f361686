"""Accuracy and loss over batches."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.data import Batch

Autocast = Callable[[], contextlib.AbstractContextManager[Any]]


@torch.no_grad()
def evaluate(
    module: nn.Module, batches: Iterable[Batch], classes: int, autocast: Autocast = contextlib.nullcontext
) -> dict[str, float]:
    """`top1` and `loss` in eval mode, `top5` where there are more than 10 classes, `correct` and `total`."""
    module.eval()
    total = 0
    sums: Tensor | None = None  # correct in the top 1, in the top 5, loss
    for inputs, labels in batches:
        with autocast():
            logits = module(inputs)
        logits = logits.float()
        ranked = logits.topk(min(5, classes)).indices == labels[:, None]  # (n, 5)
        loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
        batch = (
            torch.stack([ranked[:, 0].sum(), ranked.sum(), loss]).double() if not logits.is_mps else _mps(ranked, loss)
        )
        sums = batch if sums is None else sums + batch
        total += len(labels)
    assert sums is not None
    first, five, loss_sum = sums.tolist()
    found: dict[str, float] = {"top1": first / total, "loss": loss_sum / total, "correct": int(first), "total": total}
    return found | ({"top5": five / total} if classes > 10 else {})


def _mps(ranked: Tensor, loss: Tensor) -> Tensor:
    """The same sums on Apple's devices, which have no float64."""
    return torch.stack([ranked[:, 0].sum().cpu(), ranked.sum().cpu(), loss.cpu()]).double()
