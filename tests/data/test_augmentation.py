"""What training images are augmented with."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from benchmark.data.augmentation import Augmentation, crop_and_flip
from benchmark.data.dataset import Dataset, Split, normaliser, pruning_batches, train_batches
from benchmark.errors import UserError


def _images(count: int, generator: torch.Generator | None = None) -> torch.Tensor:
    return torch.randint(256, (count, 3, 8, 8), dtype=torch.uint8, generator=generator)


def _data(images: torch.Tensor) -> Dataset:
    split = Split(images, torch.arange(len(images)).remainder(2))
    return Dataset("x", 2, (3, 8, 8), split, split, split, (0.0,) * 3, (1.0,) * 3, True, True, {})


def test_crops_and_flips_equal_a_loop_over_images() -> None:
    images = _images(6, torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(images, (4,) * 4)
    crops = torch.tensor([[0, 0, 0], [8, 8, 1], [4, 4, 0], [4, 4, 1], [2, 7, 1], [1, 0, 0]])
    chosen = torch.tensor([5, 0, 3, 3, 1, 2])
    found = crop_and_flip(padded, chosen, crops, 8, 8)
    for i, (top, left, flip) in enumerate(crops.tolist()):
        slow = padded[chosen[i], :, top : top + 8, left : left + 8]
        assert torch.equal(found[i], slow.flip(2) if flip else slow)


def test_only_training_batches_are_augmented() -> None:
    images = torch.arange(20 * 3 * 64, dtype=torch.int64).remainder(251).to(torch.uint8).view(20, 3, 8, 8)
    data = _data(images)
    [(inputs, _)] = pruning_batches(data, 0, 0, 20)
    plain = normaliser(data)(images)
    assert all(any(torch.equal(row, other) for other in plain) for row in inputs)
    [(inputs, _)] = list(train_batches(data, 0, 0, 20))
    assert not all(any(torch.equal(row, other) for other in plain) for row in inputs)


@pytest.mark.parametrize("edge", ["zeros", "reflect"])
@pytest.mark.parametrize("pixels", [0, 2, 7])
def test_edges_are_those_of_numpy(edge: str, pixels: int) -> None:
    images = _images(2)
    found = Augmentation(translate=pixels, edge=edge).padded(images)  # pyright: ignore[reportArgumentType]
    mode = {"zeros": "constant", "reflect": "reflect"}[edge]
    wide = [(0, 0), (0, 0), (pixels, pixels), (pixels, pixels)]
    assert np.array_equal(found.numpy(), np.pad(images.numpy(), wide, mode=mode))  # pyright: ignore


def test_an_alternating_flip_turns_every_image_over_from_epoch_to_epoch() -> None:
    augmentation, count = Augmentation(flip="alternating", translate=0), 40
    sides = []
    for epoch in range(4):
        order = torch.randperm(count, generator=torch.Generator().manual_seed(epoch))
        flips = torch.empty(count, dtype=torch.long)
        flips[order] = augmentation.draw(order, 3, epoch)[:, 2]  # by image, whatever the order
        sides.append(flips)
    assert all(torch.equal(a, 1 - b) for a, b in pairwise(sides))
    assert 5 < sides[0].sum() < 35
    assert not torch.equal(sides[0], augmentation.draw(torch.arange(count), 4, 0)[:, 2])


def test_images_are_shifted_by_as_many_pixels_as_asked() -> None:
    crops = Augmentation(translate=2).draw(torch.arange(200), 0, 0)
    assert crops[:, :2].unique().tolist() == [0, 1, 2, 3, 4]
    [(inputs, _)] = list(train_batches(_data(_images(20)), 0, 0, 20, augmentation=Augmentation(translate=0)))
    assert inputs.shape == (20, 3, 8, 8)


def test_a_reflection_reaches_no_further_than_the_image() -> None:
    Augmentation(translate=7, edge="reflect").check(9, 8)
    Augmentation(translate=8).check(9, 8)
    with pytest.raises(UserError, match="translate must be below 8"):
        Augmentation(translate=8, edge="reflect").check(9, 8)
