"""scikit-learn's handwritten digits, inside its package: no file to fetch."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.data.raw import DatasetInfo, RawDataset, split_off_test

INFO = DatasetInfo(
    10, (1, 8, 8), 1437, 360, (0.3053,), (0.3759,), False,
    "scikit-learn's 1,797 handwritten digits of 8x8, in the package; a fixed stratified fifth is the test set",
)  # fmt: skip

FILE = "datasets/data/digits.csv.gz"  # within scikit-learn


def read() -> RawDataset:
    table = _table()
    images = np.rint(table[:, :-1].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)  # values 0..16
    labels = table[:, -1].astype(np.int64)
    digest = hashlib.md5(images.tobytes() + labels.tobytes(), usedforsecurity=False).hexdigest()
    return RawDataset(*split_off_test(images, labels, INFO.test), 10, True, {"sklearn digits": digest})


def _table() -> NDArray[np.float64]:
    """(examples, pixels and the label), from scikit-learn's file: importing scikit-learn takes long."""
    spec = find_spec("sklearn")
    file = Path((spec and spec.origin) or ".").parent / FILE
    if file.exists():
        return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits  # a scikit-learn that keeps it elsewhere

    found: Any = load_digits()
    return np.column_stack([found.data, found.target])
