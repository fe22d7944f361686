"""Tiny-ImageNet: its archive, or its unpacked folder, as arrays."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.data.raw import Arrays, DatasetInfo

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
ANNOTATIONS, CLASSES = "val/val_annotations.txt", "wnids.txt"

WHOLE = DatasetInfo(
    200, (3, 64, 64), 100000, 10000, (0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821), True,
    "photographs of 200 ImageNet classes, 64x64 colour, 100,000 + the 10,000 published for validation", "",
    {"tiny-imagenet-200.zip": "90528d7ca1a48142e341f4ef8d21d0de"},
)  # fmt: skip
TENTH = DatasetInfo(
    20, (3, 64, 64), 10000, 1000, (0.4926, 0.4458, 0.3958), (0.2801, 0.2742, 0.2841), True,
    "every tenth class of Tiny-ImageNet, 10,000 + 1,000; an unpacked folder, not to be downloaded", "",
    {"tiny-imagenet-20": "d72849075c5e3bb0aa60bad47520188b"},  # of the folder: `digest`
)  # fmt: skip


def folder_contents(folder: Path) -> dict[str, bytes]:
    """What is read of an unpacked folder, by path within it: images, classes, and labels of the test images.

    Raises OSError for what cannot be read.
    """
    images = [*folder.glob("train/*/images/*.JPEG"), *folder.glob("val/images/*.JPEG")]
    files = sorted([*(p.relative_to(folder).as_posix() for p in images), ANNOTATIONS, CLASSES])
    return {file: (folder / file).read_bytes() for file in files}


def digest(contents: Mapping[str, bytes]) -> str:
    """The MD5 over paths and bytes of an unpacked folder, in the order of the paths."""
    found = hashlib.md5(usedforsecurity=False)
    for file in sorted(contents):
        found.update(file.encode() + b"\0" + contents[file])
    return found.hexdigest()


def archive_contents(archive: bytes) -> dict[str, bytes]:
    """The files of the published archive, by path within its only folder."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        names = [n for n in opened.namelist() if n.endswith((".JPEG", ANNOTATIONS, CLASSES)) and "/test/" not in n]
        return {name.partition("/")[2]: opened.read(name) for name in names}


def arrays(files: Mapping[str, bytes | Mapping[str, bytes]]) -> Arrays:
    """The arrays of the one archive, or the one folder; classes are numbered in the order of their ids.

    The published validation images are the test set here: the labels of the test images were never published.
    """
    (content,) = files.values()
    contents = archive_contents(content) if isinstance(content, bytes) else content
    numbers = {wnid: i for i, wnid in enumerate(sorted(contents[CLASSES].decode().split()))}
    annotated = [line.split("\t") for line in contents[ANNOTATIONS].decode().splitlines()]
    test = {f"val/images/{fields[0]}": numbers[fields[1]] for fields in annotated}
    train = {f: numbers[f.split("/")[1]] for f in sorted(contents) if f.startswith("train/")}
    train_labels, test_labels = (np.array(list(part.values()), np.int64) for part in (train, test))
    return _images([contents[f] for f in train]), train_labels, _images([contents[f] for f in test]), test_labels


def _images(files: list[bytes]) -> NDArray[np.uint8]:
    """JPEG files as (n, 3, height, width); grey ones become colour."""
    with ThreadPoolExecutor() as pool:  # decoding leaves Python's lock
        return np.stack(list(pool.map(_image, files))).transpose(0, 3, 1, 2)


def _image(content: bytes) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(content), formats=["JPEG"]).convert("RGB"))
