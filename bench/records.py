"""What keeping records costs: the row of an epoch, and a checkpoint, whatever came before."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from bench.timing import Figure, cost, spread, timed
from benchmark.models import build_model
from benchmark.network import MaskedModel
from benchmark.records import Record, Rows

ROW: dict[str, Any] = {
    "log_step": 10, "epoch": 10, "round": 1, "schedule": "train", "step": 4500, "lr": 0.001, "train_loss": 0.123456,
    "val_top1": 0.9812, "val_loss": 0.07, "sparsity_prunable": 0.9, "seconds": 2.3, "images_per_second": 23000.0,
}  # fmt: skip


def figures(quick: bool) -> Iterator[Figure]:
    """An epoch's row at 10 and at 1,000 epochs, and a checkpoint of LeNet-300-100 with Adam's state."""
    repeats = 3 if quick else 200
    with tempfile.TemporaryDirectory() as folder:
        few, many = (_with_rows(Path(folder) / f"{count}.jsonl", count) for count in (10, 1000))
        yield cost("row of epoch 1,000", lambda: many.append(ROW), lambda: few.append(ROW), repeats, "of epoch 10's")
        net = MaskedModel(build_model("lenet_300_100", 10, 0, shape=(1, 28, 28)))
        state = net.module.state_dict()
        content = {"module": state, "masks": net.masks, "optimizer": [state, state]}
        record = Record(Path(folder))
        yield timed("checkpoint of lenet_300_100, to the disk", lambda: record.save_checkpoint(content), repeats)
        row = timed("", lambda: few.append(ROW), repeats)
        epoch = _mnist_epoch(quick)
        yield spread(
            "row of an epoch, lenet_300_100 on MNIST", [100 * row.value / epoch], "% of the epoch", f"{row.value:.2g} s"
        )


def _with_rows(path: Path, count: int) -> Rows:
    rows = Rows(path)
    rows.append(*[ROW] * count)
    return rows


def _mnist_epoch(quick: bool) -> float:
    """Seconds of an epoch of MNIST: 450 batches of 120, from a part of it."""
    from bench.steps import ADAM, made_up
    from benchmark.data import train_batches
    from benchmark.training import make_optimizer, train_steps

    steps = 10 if quick else 100
    data = made_up((1, 28, 28), 120 * steps)
    net = MaskedModel(build_model("lenet_300_100", 10, 0, shape=(1, 28, 28)))
    optimizer = make_optimizer(net, ADAM)
    torch.manual_seed(0)
    run = timed(
        "",
        lambda: train_steps(net, optimizer, train_batches(data, 0, 0, 120, 0, steps), [1e-3] * steps),
        2 if quick else 5,
    )
    return run.value * 450 / steps
