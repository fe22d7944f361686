"""What a source of images gives: arrays, and what is known of them before they are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # (n, channels, height, width)
Labels = NDArray[np.int64]
Arrays = tuple[Any, Any, Any, Any]  # training images and labels, test images and labels


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a dataset before its files are opened; `mean` and `std` are of pixels in [0, 1]."""

    classes: int
    shape: tuple[int, int, int]
    train: int
    test: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: bool
    summary: str
    folder: str = ""
    files: dict[str, str] = field(default_factory=dict)  # relative path: published MD5

    @property
    def validation(self) -> int:
        """Examples of the published training set that are kept for validation: a tenth."""
        return self.train // 10


@dataclass(frozen=True)
class RawDataset:
    """A dataset as arrays: uint8 images (n, channels, height, width) and int64 labels (n,)."""

    train_images: Pixels
    train_labels: Labels
    test_images: Pixels
    test_labels: Labels
    classes: int
    verified: bool
    digests: dict[str, str]

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises ValueError for images of another shape or type, and for labels that do not fit."""
        for images, labels in ((self.train_images, self.train_labels), (self.test_images, self.test_labels)):
            if images.shape[1:] != shape or len(images) != len(labels) or images.dtype != np.uint8:
                raise ValueError(f"images of {images.shape[1:]} with {len(labels)} labels")
            if len(labels) == 0 or labels.min() < 0 or labels.max() >= self.classes:
                raise ValueError(f"labels are not in 0..{self.classes - 1}")


def stratified(labels: Labels, count: int, seed: int) -> Labels:
    """`count` sorted indices that hold each class in its share (largest remainders), drawn from `seed`."""
    classes, sizes = np.unique(labels, return_counts=True)
    exact = sizes * count / len(labels)
    quota = np.floor(exact).astype(int)
    quota[np.argsort(quota - exact, kind="stable")[: count - quota.sum()]] += 1
    generator = np.random.default_rng(seed)
    drawn = [generator.permutation(np.flatnonzero(labels == c))[:q] for c, q in zip(classes, quota, strict=True)]
    return np.sort(np.concatenate(drawn))


def split_off_test(images: Pixels, labels: Labels, count: int) -> Arrays:
    """A fixed stratified part of `count` as the test set, the rest as the training set."""
    test = stratified(labels, count, seed=0)
    rest = np.setdiff1d(np.arange(len(labels)), test)
    return images[rest], labels[rest], images[test], labels[test]


def info_of(raw: RawDataset, summary: str) -> DatasetInfo:
    """What is to be known of a dataset of the user's own; colour images are augmented, grey ones are not."""
    images = raw.train_images
    levels = np.arange(256) / 255
    shares = [np.bincount(images[:, c].ravel(), minlength=256) / images[:, c].size for c in range(images.shape[1])]
    mean = [float((share * levels).sum()) for share in shares]
    std = [float(np.sqrt((share * (levels - m) ** 2).sum())) for share, m in zip(shares, mean, strict=True)]
    return DatasetInfo(
        raw.classes,
        images.shape[1:],
        len(raw.train_labels),
        len(raw.test_labels),
        tuple(mean),
        tuple(max(s, 1 / 255) for s in std),  # images of one colour have no spread to divide by
        images.shape[1] == 3,
        summary,
    )


def one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
