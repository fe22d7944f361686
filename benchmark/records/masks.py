"""Which weights a measured network has: one bit each, in a file that the digest in the record names and proves."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from benchmark.records.files import Damaged, write_atomically

Bits = dict[str, np.ndarray[Any, np.dtype[np.bool_]]]  # by parameter, True = kept


def masks_file(folder: Path, sha256: str) -> Path:
    """Where a run keeps the masks of this digest: points with the same masks share a file."""
    return folder / f"masks-{sha256[:16]}.safetensors"


def write_masks(folder: Path, sha256: str, masks: Mapping[str, Any]) -> None:
    """Keep masks, packed to one bit an entry; `sha256` is their `benchmark.network.digest`."""
    packed = {name: np.packbits(mask) for name, mask in masks.items()}
    shapes = json.dumps([[name, list(mask.shape)] for name, mask in masks.items()])
    content = save(packed, {"shapes": shapes})
    write_atomically(masks_file(folder, sha256), lambda part: part.write(content))


def read_masks(folder: Path, sha256: str) -> Bits | None:
    """The masks of this digest, in the order of the network; None where the run did not keep them.

    Raises Damaged where the file holds anything else.
    """
    file = masks_file(folder, sha256)
    if not file.is_file():
        return None
    try:
        masks = _unpacked(file.read_bytes())
    except (OSError, SafetensorError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise Damaged(file, "its masks cannot be read") from error
    if _digest(masks) != sha256:
        raise Damaged(file, "its masks are not those of the record")
    return masks


def _unpacked(content: bytes) -> Bits:
    packed = load(content)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    masks: Bits = {}
    for name, shape in json.loads(header["__metadata__"]["shapes"]):
        size = math.prod(shape)
        if not 0 <= size <= 8 * packed[name].size:
            raise ValueError(f"{size} bits of {name}")
        masks[name] = np.unpackbits(packed[name], count=size).astype(bool).reshape(shape)
    return masks


def _digest(masks: Bits) -> str:
    """As `benchmark.network.digest` makes it of tensors."""
    found = hashlib.sha256()
    for name, mask in masks.items():
        found.update(f"{name}{mask.shape}torch.bool".encode() + mask.tobytes())
    return found.hexdigest()
