"""Which weights measured networks keep, and how far two of them agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmark.records import Damaged, read_masks
from reports.schema import Point

Packed = dict[str, np.ndarray[Any, np.dtype[np.uint8]]]  # by parameter, a bit an entry


def masks_of(folder: Path, point: Point) -> Packed | None:
    """The masks of a run's point; None where the run did not keep them, or the file is damaged."""
    try:
        masks = read_masks(folder, point.masks_sha256)
    except Damaged:  # `prunebench verify` names it
        return None
    return None if masks is None else {n: np.packbits(mask) for n, mask in masks.items()}


def jaccard(a: Packed, b: Packed) -> float:
    """Entries that both keep ÷ entries that either keeps, over the parameters that both have masks for."""
    shared = [n for n in a if n in b and len(a[n]) == len(b[n])]
    both = sum(int(np.bitwise_count(a[n] & b[n]).sum()) for n in shared)
    either = sum(int(np.bitwise_count(a[n] | b[n]).sum()) for n in shared)
    return both / either if either else 1.0
