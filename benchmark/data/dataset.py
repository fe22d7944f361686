"""A dataset on the device: its splits, its batches, their augmentation; no per-sample Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.data.augmentation import Augmentation, crop_and_flip
from benchmark.data.raw import stratified
from benchmark.data.registry import Images, find_images
from benchmark.errors import UserError
from benchmark.seeds import stream

Batch = tuple[Tensor, Tensor]
Batches = Sequence[Batch]
Shape = tuple[int, int, int]
CPU_ELEMENTS = 1 << 18  # numbers of network input evaluated together: 85 images of 3 x 32 x 32
READY_ELEMENTS = 1 << 26  # 268 MB of inputs: MNIST
GPU_ELEMENTS = 1 << 25  # 222 images of 3 x 224 x 224


@dataclass(frozen=True)
class Split:
    """uint8 images (n, channels, height, width) and int64 labels (n,), on the device."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Dataset:
    """Three splits and how their images become inputs: (pixel / 255 - mean) / std, by channel."""

    name: str
    classes: int
    shape: Shape
    train: Split
    validation: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: bool
    verified: bool
    digests: dict[str, str]
    _ready: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def inputs(self, split: Split) -> Tensor | None:
        """The images of one of the three splits as inputs, made once, where they are few and never augmented."""
        own = next((name for name in ("train", "validation", "test") if getattr(self, name) is split), None)
        if own is None or self.augment or split.images.numel() > READY_ELEMENTS:
            return None
        if own not in self._ready:
            self._ready[own] = normaliser(self)(split.images)
        return self._ready[own]


def load_dataset(
    images: Images | str,
    data_dir: Path | None = None,
    *,
    size: Shape | None = None,
    train_limit: int | None = None,
    allow_unverified: bool = False,
    device: torch.device | str = "cpu",
) -> Dataset:
    """The dataset on `device`, its images resized once to `size`, (channels, height, width).

    A stratified tenth of the training set, always the same, is validation; `train_limit` keeps a
    stratified part of the rest.

    Raises UserError for missing or damaged files, and for a `train_limit` that cannot be had.
    """
    if isinstance(images, str):
        images, _ = find_images(images)
    info, name = images.info, images.name
    raw = images.read(data_dir, allow_unverified=allow_unverified)
    if info.validation < raw.classes:
        raise UserError(
            f"{name} has {info.train} training images of {raw.classes} classes: too few for a tenth of them to "
            "validate with; give ten or more of each class"
        )
    validation = stratified(raw.train_labels, len(raw.train_labels) // 10, seed=1)
    train = np.setdiff1d(np.arange(len(raw.train_labels)), validation)
    if train_limit is not None:
        if not raw.classes <= train_limit <= len(train):
            raise UserError(f"train_limit must be in [{raw.classes}, {len(train)}] for {name}, got {train_limit}")
        train = train[stratified(raw.train_labels[train], train_limit, seed=2)]
    shape = size or info.shape

    def split(images: np.ndarray, labels: np.ndarray) -> Split:
        resized = resize(torch.tensor(images), shape)
        return Split(resized.to(device), torch.from_numpy(np.ascontiguousarray(labels)).to(device))

    mean, std = (values * (shape[0] // info.shape[0]) for values in (info.mean, info.std))
    return Dataset(
        name, raw.classes, shape,
        split(raw.train_images[train], raw.train_labels[train]),
        split(raw.train_images[validation], raw.train_labels[validation]),
        split(raw.test_images, raw.test_labels),
        mean, std, info.augment, raw.verified, raw.digests,
    )  # fmt: skip


def resize(images: Tensor, shape: Shape) -> Tensor:
    """uint8 images with the channels, height and width of `shape`: bilinear, grey repeated to colour.

    Raises UserError where colour images would have to become grey.
    """
    if images.shape[1] == 1 and shape[0] == 3:
        images = images.expand(-1, 3, -1, -1)
    elif images.shape[1] != shape[0]:
        raise UserError(
            f"this network takes {shape[0]}-channel images and the dataset has {images.shape[1]} channels; "
            "choose another, such as --model resnet_20"
        )
    if images.shape[2:] != shape[1:]:
        floats = nn.functional.interpolate(images.float(), shape[1:], mode="bilinear", antialias=True)
        images = floats.round_().clamp_(0, 255).to(torch.uint8)
    return images.contiguous()


def normaliser(data: Dataset) -> Callable[[Tensor], Tensor]:
    """A function from uint8 images to float inputs."""
    device = data.train.images.device
    mean, std = (torch.tensor(values, device=device).view(-1, 1, 1) * 255 for values in (data.mean, data.std))
    return lambda images: images.float().sub_(mean).div_(std)


def steps_per_epoch(data: Dataset, batch_size: int) -> int:
    """Whole batches in an epoch; raises UserError where there is not one."""
    examples = len(data.train.labels)
    if batch_size > examples:
        raise UserError(f"train.batch_size must be at most the {examples} training examples, got {batch_size}")
    return examples // batch_size


def train_batches(
    data: Dataset,
    seed: int,
    epoch: int,
    batch_size: int,
    start: int = 0,
    stop: int | None = None,
    augmentation: Augmentation | None = None,
) -> Iterator[Batch]:
    """The batches of steps `start` to `stop` of an epoch, shuffled and, where the dataset asks for it, augmented.

    Order and augmentation are drawn for the whole epoch, so any window is a part of the same epoch;
    an incomplete last batch is dropped.
    """
    images, labels = data.train.images, data.train.labels
    device = images.device
    steps = steps_per_epoch(data, batch_size)
    order = torch.randperm(len(labels), generator=stream(seed, "data", epoch))
    augmentation = augmentation or Augmentation()
    crops = augmentation.draw(order, seed, epoch).to(device) if data.augment else None
    order = order.to(device)
    normalise, ready = normaliser(data), data.inputs(data.train)
    for step in range(start, steps if stop is None else stop):
        window = slice(step * batch_size, (step + 1) * batch_size)
        chosen = order[window]
        if ready is not None:
            yield ready.index_select(0, chosen), labels.index_select(0, chosen)
            continue
        batch = images.index_select(0, chosen)  # on a CPU much faster than images[chosen]
        if crops is not None:
            padded, every = augmentation.padded(batch), torch.arange(len(batch), device=device)
            batch = crop_and_flip(padded, every, crops[window], images.shape[2], images.shape[3])
        yield normalise(batch), labels.index_select(0, chosen)


def pruning_batches(data: Dataset, seed: int, index: int, examples: int, batch_size: int = 250) -> list[Batch]:
    """`examples` training images (all, if there are fewer) for pruning number `index`, not augmented."""
    images, labels = data.train.images, data.train.labels
    order = torch.randperm(len(labels), generator=stream(seed, "pruning", index))[:examples].to(images.device)
    normalise = normaliser(data)
    return [(normalise(images[chosen]), labels[chosen]) for chosen in order.split(batch_size)]


def evaluation_batches(data: Dataset, split: Split) -> Iterator[Batch]:
    """All of a split, in order, in batches that the device is fast with: on a CPU, what its cache holds."""
    together = CPU_ELEMENTS if split.images.device.type == "cpu" else GPU_ELEMENTS
    size = max(1, min(1000, together // math.prod(data.shape)))
    normalise, ready = normaliser(data), data.inputs(split)
    images = split.images if ready is None else ready
    for part, labels in zip(images.split(size), split.labels.split(size), strict=True):
        yield normalise(part) if ready is None else part, labels
