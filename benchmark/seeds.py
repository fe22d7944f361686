"""Independent random streams: one generator for every (seed, purpose)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Purpose = Literal["init", "data", "augmentation", "flip", "forward", "pruning"]


def stream_seed(seed: int, purpose: Purpose, *index: int) -> int:
    """A 63-bit seed that differs for every (seed, purpose, index) and is the same on every machine."""
    text = ":".join([str(seed), purpose, *map(str, index)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, purpose: Purpose, *index: int) -> torch.Generator:
    """A CPU generator for (seed, purpose, index); `index` is for instance the epoch."""
    import torch

    return torch.Generator().manual_seed(stream_seed(seed, purpose, *index))
