"""Splits, batches, augmentation; files that are missing, different, damaged or hostile."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from benchmark.data import dataset, digits, registry
from benchmark.data.dataset import (
    Split,
    evaluation_batches,
    load_dataset,
    normaliser,
    resize,
    steps_per_epoch,
    train_batches,
)
from benchmark.errors import UserError


def test_digits_splits_are_disjoint_stratified_and_whole() -> None:
    data = load_dataset("digits")
    sizes = [len(s.labels) for s in (data.train, data.validation, data.test)]
    assert sizes == [1294, 143, 360]
    for split in (data.train, data.validation, data.test):
        counts = split.labels.bincount(minlength=10)
        assert counts.max() - counts.min() <= 0.05 * len(split.labels)
    assert int(data.train.images.max()) == 255


def test_an_epoch_shows_every_example_once_and_a_window_is_a_part_of_it() -> None:
    data = load_dataset("digits")
    whole = list(train_batches(data, 0, 3, 100))
    part = list(train_batches(data, 0, 3, 100, 5, 8))
    assert len(whole) == steps_per_epoch(data, 100) == 12
    for (a, b), (c, d) in zip(whole[5:8], part, strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)
    again = next(train_batches(data, 1, 3, 100))
    assert not torch.equal(again[1], whole[0][1])


def test_inputs_are_pixels_less_mean_over_std() -> None:
    data = load_dataset("digits")
    one = normaliser(data)(data.train.images[:1])
    by_hand = (data.train.images[:1].float() / 255 - data.mean[0]) / data.std[0]
    assert torch.allclose(one, by_hand, atol=1e-6)


def test_inputs_made_once_are_those_made_for_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_dataset("digits")

    def batches() -> list[Tensor]:
        return [inputs for inputs, _ in [*train_batches(data, 0, 0, 100), *evaluation_batches(data, data.test)]]

    once = batches()
    assert data.inputs(data.test) is data.inputs(data.test) is not None
    assert data.inputs(Split(data.test.images, data.test.labels)) is None  # a part that somebody made: kept by nobody
    monkeypatch.setattr(dataset, "READY_ELEMENTS", 0)
    assert data.inputs(data.test) is None
    assert all(a.equal(b) for a, b in zip(once, batches(), strict=True))


def test_digits_constants_are_those_of_its_training_set() -> None:
    raw = registry.fetch("digits", None)
    pixels = raw.train_images / 255
    assert registry.NAMES["digits"].mean[0] == pytest.approx(pixels.mean(), abs=2e-3)
    assert registry.NAMES["digits"].std[0] == pytest.approx(pixels.std(), abs=2e-3)


def test_grey_becomes_colour_and_colour_is_not_made_grey() -> None:
    grey = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    assert resize(grey, (3, 32, 32)).shape == (2, 3, 32, 32)
    with pytest.raises(UserError, match="takes 1-channel images and the dataset has 3"):
        resize(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), (1, 8, 8))


def test_a_limit_takes_a_stratified_part_and_refuses_too_many() -> None:
    data = load_dataset("digits", train_limit=200)
    assert data.train.labels.bincount().tolist() == pytest.approx([20] * 10, abs=1)
    with pytest.raises(UserError, match=r"train_limit must be in \[10, 1294\] for digits, got 5000"):
        load_dataset("digits", train_limit=5000)


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(UserError, match="at most the 1294 training examples, got 2000"):
        steps_per_epoch(load_dataset("digits"), 2000)


def _idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def _made_up_mnist(root: Path) -> Path:
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    labels = np.arange(40) % 10
    for part, name in (("train", "train"), ("t10k", "t10k")):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(_idx(np.full((40, 28, 28), 7)))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(_idx(labels))
    return folder


def test_files_that_differ_from_the_published_are_refused_and_read_only_when_allowed(tmp_path: Path) -> None:
    _made_up_mnist(tmp_path)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte differs .*--allow_unverified_data"):
        registry.fetch("mnist", tmp_path)
    raw = registry.fetch("mnist", tmp_path, allow_unverified=True)
    assert raw.train_images.shape == (40, 1, 28, 28)
    assert not raw.verified
    assert len(raw.digests) == 4


def test_a_truncated_file_is_named_in_one_line(tmp_path: Path) -> None:
    file = _made_up_mnist(tmp_path) / "t10k-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"damaged files .*t10k-images-idx3-ubyte") as caught:
        registry.fetch("mnist", tmp_path, allow_unverified=True)
    assert "\n" not in str(caught.value)


def test_a_dataset_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not in .*; `prunebench data mnist"):
        registry.fetch("mnist", tmp_path, download=False)
    with pytest.raises(UserError, match="unknown dataset 'minst', did you mean 'mnist'"):
        registry.fetch("minst", tmp_path)


class _Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("echo harm",)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name in ("train", "test"):
        (folder / name).write_bytes(pickle.dumps(_Hostile()))
    with pytest.raises(UserError, match="which image data does not need"):
        registry.fetch("cifar100", tmp_path, allow_unverified=True)


def test_made_up_cifar_files_are_read_by_the_restricted_reader(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    pixels = np.arange(4 * 3072).reshape(4, 3072).astype(np.uint8)
    for name in ("train", "test"):
        (folder / name).write_bytes(pickle.dumps({b"data": pixels, b"fine_labels": [0, 99, 5, 7]}))
    raw = registry.fetch("cifar100", tmp_path, allow_unverified=True)
    assert np.array_equal(raw.test_images.reshape(4, -1), pixels)
    assert raw.train_labels.tolist() == [0, 99, 5, 7]


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar100", "tiny_imagenet_20"])
def test_real_data_is_as_published_and_its_constants_are_right(name: str, real_data: Path) -> None:
    info = registry.NAMES[name]
    if not all((real_data / info.folder / file).exists() for file in info.files):
        pytest.skip(f"{name} is not in the folder of real data")
    raw = registry.fetch(name, real_data, allow_unverified=name == "cifar10", download=False)
    assert raw.verified or name == "cifar10"
    assert (len(raw.train_labels), len(raw.test_labels)) == (info.train, info.test)
    for channel, (mean, std) in enumerate(zip(info.mean, info.std, strict=True)):
        pixels = raw.train_images[:, channel] / 255
        assert mean == pytest.approx(pixels.mean(), abs=1e-4)
        assert std == pytest.approx(pixels.std(), abs=1e-4)


def _jpeg(value: int, mode: str) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (64, 64), value if mode == "L" else (value, 0, 0)).save(file, "JPEG")
    return file.getvalue()


def test_tiny_imagenet_is_read_alike_from_its_archive_and_from_its_folder(tmp_path: Path) -> None:
    files = {
        "wnids.txt": b"n02\nn01\n",
        "val/val_annotations.txt": b"val_0.JPEG\tn02\t0\t0\t9\t9\n",
        "train/n02/images/n02_0.JPEG": _jpeg(200, "RGB"),
        "train/n01/images/n01_0.JPEG": _jpeg(100, "L"),
        "train/n01/n01_boxes.txt": b"n01_0.JPEG\t0\t0\t9\t9\n",
        "val/images/val_0.JPEG": _jpeg(50, "RGB"),
        "test/images/test_0.JPEG": b"never opened",
    }
    with zipfile.ZipFile(tmp_path / "tiny-imagenet-200.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(f"tiny-imagenet-200/{name}", content)
            unpacked = tmp_path / "tiny-imagenet-20" / name
            unpacked.parent.mkdir(parents=True, exist_ok=True)
            unpacked.write_bytes(content)
    names = ("tiny_imagenet", "tiny_imagenet_20")
    one, other = (registry.fetch(name, tmp_path, allow_unverified=True) for name in names)
    for raw in (one, other):
        assert raw.train_labels.tolist() == [0, 1]  # in the order of the ids, not of wnids.txt
        assert raw.test_labels.tolist() == [1]
        assert raw.train_images.shape == (2, 3, 64, 64)
        assert abs(int(raw.train_images[0, 2, 0, 0]) - 100) < 4  # grey became colour
        assert raw.train_images[1, 1].max() < 20
    assert np.array_equal(one.test_images, other.test_images)


def test_a_damaged_image_of_tiny_imagenet_is_one_line(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "tiny-imagenet-200.zip", "w") as archive:
        archive.writestr("tiny-imagenet-200/wnids.txt", b"n01\n")
        archive.writestr("tiny-imagenet-200/val/val_annotations.txt", b"")
        archive.writestr("tiny-imagenet-200/train/n01/images/n01_0.JPEG", b"not an image")
    with pytest.raises(UserError, match=r"holds damaged files \(tiny-imagenet-200.zip\)") as caught:
        registry.fetch("tiny_imagenet", tmp_path, allow_unverified=True)
    assert "\n" not in str(caught.value)


def test_a_failed_download_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import utils

    def interrupted(url: str, root: str, filename: str, md5: str) -> None:
        (Path(root) / filename).write_bytes(b"half")
        raise RuntimeError("the line was cut")

    monkeypatch.setattr(utils, "download_url", interrupted)
    with pytest.raises(UserError, match="could not be downloaded"):
        registry.fetch("tiny_imagenet", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_digits_are_the_same_from_scikit_learns_file_and_from_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    found = digits.read()
    monkeypatch.setattr(digits, "FILE", "elsewhere.csv.gz")
    again = digits.read()
    assert found.digests == again.digests
    assert (found.test_images == again.test_images).all()
