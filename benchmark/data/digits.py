"""scikit-learn's handwritten digits, inside its package: no file to fetch."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from benchmark.data.raw import DatasetInfo, RawDataset, split_off_test

INFO = DatasetInfo(
    10, (1, 8, 8), 1437, 360, (0.3053,), (0.3759,), False,
    "scikit-learn's 1,797 handwritten digits of 8x8, in the package; a fixed stratified fifth is the test set",
)  # fmt: skip


def read() -> RawDataset:
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    images = np.rint(found.images * (255 / 16)).astype(np.uint8)[:, None]  # values 0..16 -> (n, 1, 8, 8)
    labels = found.target.astype(np.int64)
    digest = hashlib.md5(images.tobytes() + labels.tobytes(), usedforsecurity=False).hexdigest()
    return RawDataset(*split_off_test(images, labels, INFO.test), 10, True, {"sklearn digits": digest})
