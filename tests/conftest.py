"""What all tests share: one thread, no W&B settings, a folder of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

os.environ.setdefault("MPLBACKEND", "Agg")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of the user's reach a test, and what a test writes stays in its folder."""
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real datasets; skips, saying so, where $PRUNEBENCH_DATA is not set."""
    folder = os.environ.get("PRUNEBENCH_DATA")
    if not folder:
        pytest.skip("real data: set PRUNEBENCH_DATA to the folder of the datasets")
    return Path(folder)
