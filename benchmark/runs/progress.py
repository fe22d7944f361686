"""What a run shows while it works: one live line on a terminal, nothing elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.config import RunConfig
    from benchmark.pruning import Phase
    from benchmark.records import Row


class Progress:
    """Run, round, epoch, top1, density and the time left, from the rows as they are made."""

    def __init__(self, config: RunConfig, show: bool | None = None) -> None:
        self.config = config
        self.show = sys.stderr.isatty() if show is None else show
        self._bar = None

    @contextlib.contextmanager
    def of(self, plan: Sequence[Phase], steps_per_epoch: int, config: RunConfig) -> Iterator[None]:
        """Show the progress through `plan` while within."""
        if not self.show:
            yield
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from benchmark.pruning import epochs_of

        columns = [
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs"),
            TimeRemainingColumn(),
        ]
        with Progress(*columns, TextColumn("{task.fields[now]}"), console=Console(stderr=True), transient=True) as bar:
            total = round(
                epochs_of(plan, steps_per_epoch, config.settings.train.epochs, config.settings.retrain.epochs)
            )
            self._bar, self._task = bar, bar.add_task(config.name, total=total, now="")
            yield
            self._bar = None

    def epoch(self, row: Row) -> None:
        if self._bar is not None:
            density = 1 - row["sparsity_prunable"]
            now = f"round {row['round']}  validation top1 {row['val_top1']:.4f}  density {density:.3f}"
            self._bar.update(self._task, completed=row["epoch"], now=now)

    def point(self, row: Row) -> None:
        """One line for each measured point that stays on the terminal."""
        if self._bar is not None:
            stamp = time.strftime("%H:%M:%S")
            self._bar.console.print(
                f"{stamp} round {row['round']} {row['stage']}: top1 {row['top1']:.4f}, "
                f"compression {row['compression_params']:.1f}, density {1 - row['sparsity_prunable']:.3f}",
                highlight=False,
            )
