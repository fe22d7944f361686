"""The TensorBoard tracker: event files in `tensorboard/` of the run's folder, written by torch's own writer."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from benchmark.records import Record, Row
from benchmark.tracking.comparison import comparison
from benchmark.tracking.series import LAYERS, densities, series


class TensorBoard:
    """`tensorboard --logdir RESULTS/runs` shows all runs, charts under the same names as W&B's."""

    def __init__(self, record: Record) -> None:
        self._record = record
        folder = record.folder / "tensorboard"
        shutil.rmtree(folder, ignore_errors=True)
        self._writer = SummaryWriter(folder)
        options = record.read_json("config.json")["config"]
        self._writer.add_text("config", "\n".join(f"    {name}: {value}" for name, value in options.items()))

    def show(self, row: Row) -> None:
        step = row["epoch"] if "point" not in row else row["round"]
        for name, value in series(row).items():
            if "/" in name or "point" not in row:
                self._writer.add_scalar(name, value, step)
        if layers := densities(row):
            import numpy as np

            self._writer.add_histogram(LAYERS, np.array(layers), step)
        self._writer.flush()

    def finish(self, *, exit_code: int, summary: Mapping[str, Any], again: bool = False) -> None:
        numbers = {name: v for name, v in comparison(self._record).items() if isinstance(v, int | float)}
        for name, value in numbers.items():
            self._writer.add_scalar(f"comparison/{name}", value)
        self._writer.add_text("status", "\n".join(f"    {name}: {value}" for name, value in summary.items()))
        self._writer.close()
