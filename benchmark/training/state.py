"""The plain part of a run's checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmark.records import Row


@dataclass
class State:
    """Where a run stands, what it cost, and its rows."""

    phase: int = 0  # index of the phase under way
    step: int | None = None  # next step of its window; None before it began
    round: int = 0
    prunings: int = 0
    steps_total: int = 0
    train_flops: float = 0.0
    train_seconds: float = 0.0
    prune_seconds: float = 0.0
    trained: list[Any] = field(default_factory=list)  # schedule, lr and stop of the optimiser's last window
    stopped_early: str | None = None
    epochs: list[Row] = field(default_factory=list)
    points: list[Row] = field(default_factory=list)

    @property
    def rows(self) -> list[Row]:
        """Those of epochs and points in the order they were made, which their `log_step` numbers."""
        return sorted([*self.epochs, *self.points], key=lambda row: row["log_step"])

    def lost_too_much(self, allowed: float | None) -> str | None:
        """Why to stop, where the last point is trained and lies more than `allowed` below dense in validation top1."""
        dense, last = self.points[0], self.points[-1]
        if allowed is None or dense["round"] != 0 or last["round"] == 0 or last["stage"] != "trained":
            return None
        lost = dense["val_top1"] - last["val_top1"]
        if lost <= allowed:
            return None
        return f"round {last['round']}: validation top1 is {lost:.4f} below dense, more than {allowed:g}"
