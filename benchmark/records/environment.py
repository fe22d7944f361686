"""What a run was made with: commit, versions, hardware, time."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmark.records.schema import Row

VERSIONS = ("nnrelief-bench", "torch", "torchvision", "timm", "fvcore", "wandb", "numpy")


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def environment(device: Any) -> Row:
    """Commit, versions and hardware that a run is made with."""
    import torch

    return {
        "commit": _commit(),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in VERSIONS},
        "hardware": {
            "device": device_name(device),
            "machine": platform.machine(),
            "system": platform.system(),
            "cpus": os.cpu_count(),
            "threads": torch.get_num_threads(),
        },
    }


def device_name(device: Any) -> str:
    """What a record calls a torch device: the name of the GPU, else that of its kind."""
    import torch

    return torch.cuda.get_device_name(device) if getattr(device, "type", None) == "cuda" else str(device)


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _commit() -> str | None:
    """The commit of this code, with a + where files differ from it; None outside a checkout."""
    here = Path(__file__).parents[2]
    if not (here / ".git").exists():  # installed: the commit found from there would be another project's
        return None
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
