"""MNIST and Fashion-MNIST: idx files (Y. LeCun's format: type, dimensions, sizes, bytes)."""

from __future__ import annotations

import gzip
import struct

import numpy as np

from benchmark.data.raw import Arrays, DatasetInfo, Pixels

FILES: tuple[str, ...] = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def _info(mean: float, std: float, folder: str, summary: str, *digests: str) -> DatasetInfo:
    files: dict[str, str] = dict(zip(FILES, digests, strict=True))
    return DatasetInfo(10, (1, 28, 28), 60000, 10000, (mean,), (std,), False, summary, f"{folder}/raw", files)


MNIST = _info(
    0.1307, 0.3081, "MNIST", "handwritten digits, 28x28 grey, 60,000 + 10,000",
    "6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624",
    "2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637",
)  # fmt: skip
FASHION_MNIST = _info(
    0.2860, 0.3530, "FashionMNIST", "pictures of clothing, 28x28 grey, 60,000 + 10,000",
    "f4a8712d7a061bf5bd6d2ca38dc4d50a", "9018921c3c673c538a1fc5bad174d6f9",
    "8181f5470baa50b63fa0f6fddb340f0a", "15d484375f8d13e6eb1aabb0c3f46965",
)  # fmt: skip


def arrays(contents: dict[str, bytes]) -> Arrays:
    train_images, train_labels, test_images, test_labels = (_array(contents[file]) for file in FILES)
    return train_images[:, None], train_labels.astype(np.int64), test_images[:, None], test_labels.astype(np.int64)


def _array(content: bytes) -> Pixels:
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    zeros, kind, dimensions = struct.unpack(">HBB", content[:4])
    if zeros or kind != 8:
        raise ValueError("not an idx file of bytes")
    shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
