"""What a function of the user's returns, arrays or torchvision-style datasets, as a dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmark.data.raw import RawDataset, one_line
from benchmark.errors import UserError

EXPECTED = (
    "two parts, train and test, each (images, labels) or a dataset of (image, label): images uint8, "
    "(n, height, width), (n, channels, height, width) or PIL; labels whole numbers from 0"
)


def read(function: Callable[..., Any], name: str, options: Mapping[str, Any]) -> RawDataset:
    """The dataset that `function` returns for its own options.

    Raises UserError where it fails or returns something else.
    """
    try:
        found = function(**options)
    except (Exception, SystemExit) as error:
        raise UserError(f"dataset '{name}' fails: {one_line(error)}") from error
    try:
        if isinstance(found, tuple | list) and len(found) == 4:
            found = found[:2], found[2:]
        train, test = (_part(part) for part in found)
        classes = int(max(train[1].max(), test[1].max())) + 1
        if missing := sorted(set(range(classes)) - set(train[1].tolist())):
            raise ValueError(f"no training image has the label {missing[0]}, of 0..{classes - 1}")
        if classes < 2:
            raise ValueError("all labels are 0")
        digest = hashlib.sha256(b"".join(part.tobytes() for part in (*train, *test))).hexdigest()
        raw = RawDataset(*train, *test, classes, True, {"arrays": digest})
        raw.check(train[0].shape[1:])
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise UserError(f"dataset '{name}' must return {EXPECTED}; it fails with: {one_line(error)[:200]}") from error
    return raw


def _part(part: Any) -> tuple[Any, Any]:
    """uint8 images (n, channels, height, width) and int64 labels."""
    if isinstance(part, tuple | list) and len(part) == 2:
        images, labels = part
    else:
        items = [part[i] for i in range(len(part))]
        images, labels = [image for image, _ in items], [label for _, label in items]
    pixels = (
        np.stack([np.asarray(image) for image in images]) if isinstance(images, list | tuple) else np.asarray(images)
    )
    if pixels.dtype != np.uint8:
        raise ValueError(f"images of {pixels.dtype}, not uint8 (0 to 255); leave out what makes floats of them")
    if pixels.ndim == 3:
        pixels = pixels[:, None]  # (n, height, width) -> (n, 1, height, width)
    if pixels.ndim != 4:
        raise ValueError(f"images of shape {pixels.shape}")
    if pixels.shape[1] not in (1, 3) and pixels.shape[3] in (1, 3):
        pixels = pixels.transpose(0, 3, 1, 2)
    if pixels.shape[1] not in (1, 3):
        raise ValueError(f"images of {pixels.shape[1]} channels, not 1 or 3")
    numbers = np.asarray(labels)
    if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.integer):
        raise ValueError(f"labels of {numbers.dtype} and shape {numbers.shape}")
    return np.ascontiguousarray(pixels), numbers.astype(np.int64)
