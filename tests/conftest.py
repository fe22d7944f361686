"""What all tests share: one thread, no W&B settings, a folder of their own, nothing left running."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.leftovers import end_leftovers, mark_what_is_started

os.environ.setdefault("MPLBACKEND", "Agg")
torch.set_num_threads(1)
mark_what_is_started()
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # started in the background: what tests start would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No settings of the user's reach a test; what it writes stays in its folder, and what it starts ends with it."""
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield
    end_leftovers()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real datasets; skips, saying so, where $PRUNEBENCH_DATA is not set."""
    folder = os.environ.get("PRUNEBENCH_DATA")
    if not folder:
        pytest.skip("real data: set PRUNEBENCH_DATA to the folder of the datasets")
    return Path(folder)
