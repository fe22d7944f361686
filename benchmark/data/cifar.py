"""CIFAR-10 and CIFAR-100: pickles, read by an unpickler that builds nothing but arrays and plain containers."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmark.data.raw import Arrays, DatasetInfo

CIFAR10 = DatasetInfo(
    10, (3, 32, 32), 50000, 10000, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), True,
    "photographs of 10 classes, 32x32 colour, 50,000 + 10,000", "cifar-10-batches-py",
    {
        "data_batch_1": "c99cafc152244af753f735de768cd75f", "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751", "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb", "test_batch": "40351d587109b95175f43aff81a1287e",
    },
)  # fmt: skip
CIFAR100 = DatasetInfo(
    100, (3, 32, 32), 50000, 10000, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), True,
    "photographs of 100 classes, 32x32 colour, 50,000 + 10,000", "cifar-100-python",
    {"train": "16019d7e3df5f24257cddd939b257f8d", "test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
)  # fmt: skip


def arrays(contents: dict[str, bytes]) -> Arrays:
    """The arrays of either: the test set is the file whose name says so."""
    batches = {file: _Restricted(io.BytesIO(content), encoding="bytes").load() for file, content in contents.items()}
    test = next(file for file in batches if file.startswith("test"))
    key = b"labels" if b"labels" in batches[test] else b"fine_labels"
    train = [batch for file, batch in batches.items() if file != test]
    images = np.concatenate([batch[b"data"] for batch in train]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([batch[key] for batch in train]).astype(np.int64)
    return images, labels, batches[test][b"data"].reshape(-1, 3, 32, 32), np.asarray(batches[test][key], np.int64)


class _Restricted(pickle.Unpickler):
    """An unpickler that builds nothing but NumPy arrays and plain containers."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            import _codecs

            return _codecs.encode
        raise pickle.UnpicklingError(f"the file asks for {module}.{name}, which image data does not need")
