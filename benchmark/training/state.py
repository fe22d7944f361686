"""The plain part of a run's checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmark.records import End, PointRow


@dataclass
class State:
    """Where a run stands, what it cost, and up to which rows."""

    phase: int = 0  # index of the phase under way
    step: int | None = None  # next step of its window; None before it began
    round: int = 0
    prunings: int = 0
    steps_total: int = 0
    steps_open: int = 0  # of steps_total, those not in train_flops yet
    train_flops: float = 0.0
    train_seconds: float = 0.0
    epoch_seconds: float = 0.0  # of training, in the epoch under way
    prune_seconds: float = 0.0
    prune_flops: float = 0.0
    trained: list[Any] = field(default_factory=list)  # schedule, lr and stop of the optimiser's last window
    dense_top1: float | None = None  # on validation, of the network before any pruning
    beyond: bool = False  # a trained point was beyond the compression at which firing is shown
    stopped_early: str | None = None
    epochs: End = field(default_factory=lambda: [0, ""])
    points: End = field(default_factory=lambda: [0, ""])

    def lost_too_much(self, point: PointRow, allowed: float | None) -> str | None:
        """Why to stop, where `point` is trained and lies more than `allowed` below dense in validation top1."""
        if point["round"] == 0:
            self.dense_top1 = point["val_top1"]
        if allowed is None or self.dense_top1 is None or point["round"] == 0 or point["stage"] != "trained":
            return None
        lost = self.dense_top1 - point["val_top1"]
        if lost <= allowed:
            return None
        return f"round {point['round']}: validation top1 is {lost:.4f} below dense, more than {allowed:g}"
