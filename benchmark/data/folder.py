"""A folder of images by class: `train/` and `test/` with a folder for each class, or the classes' folders alone."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from benchmark.data.raw import RawDataset, one_line, split_off_test
from benchmark.errors import UserError

FORMATS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".pgm", ".ppm", ".tif", ".tiff")
TEST_SHARE = 5  # without a test folder a fixed stratified fifth is the test set

Listing = tuple[tuple[str, int, int], ...]  # path within the folder, size, time of the last change


def listing(folder: Path) -> Listing:
    """The images of a folder, by path; raises UserError where there is no folder, or nothing in it."""
    try:
        files = sorted(p for p in folder.glob("*/**/*") if p.suffix.lower() in FORMATS and p.is_file())
        found = [(p.relative_to(folder).as_posix(), (s := p.stat()).st_size, s.st_mtime_ns) for p in files]
    except OSError as error:
        raise UserError(f"dataset folder:{folder}: cannot read {error.filename}: {error.strerror}") from error
    if not found:
        what = "has no images in folders by class" if folder.is_dir() else "is no folder"
        raise UserError(f"dataset folder:{folder}: {folder} {what}; it must look like {folder}/CLASS/IMAGE.png")
    return tuple(found)


@cache
def digest(folder: Path, files: Listing) -> str:
    """The sha256 over paths and bytes."""
    found = hashlib.sha256()
    for path, size, _ in files:
        found.update(f"{path}\0{size}\0".encode() + (folder / path).read_bytes())
    return found.hexdigest()


@lru_cache(maxsize=1)
def read(folder: Path, files: Listing, size: int | None) -> RawDataset:
    """The images as arrays, `size` pixels a side, or as they are; grey where all are grey.

    Raises UserError, naming the file, for one that cannot be read or has another size.
    """
    parts = _parts(folder, [path for path, _, _ in files])
    classes = sorted({name for name, _ in parts["train"]})
    if strange := sorted({name for name, _ in parts["test"]} - set(classes)):
        raise UserError(f"dataset folder:{folder}: test has the class {strange[0]}, train has not")
    if len(classes) < 2:
        raise UserError(f"dataset folder:{folder}: it has one class, {classes[0]}; a classifier needs two or more")
    numbers = {name: i for i, name in enumerate(classes)}
    every = [*parts["train"], *parts["test"]]
    images = _images(folder, [path for _, path in every], size)
    labels = np.array([numbers[name] for name, _ in every], np.int64)
    cut = len(parts["train"])
    if parts["test"]:
        arrays = images[:cut], labels[:cut], images[cut:], labels[cut:]
    else:
        arrays = split_off_test(images, labels, max(1, len(labels) // TEST_SHARE))
    return RawDataset(*arrays, len(classes), True, {"folder": digest(folder, files)})


def _parts(folder: Path, paths: list[str]) -> dict[str, list[tuple[str, str]]]:
    """(class, path) of each image of `train` and `test`; of one level, all are `train`."""
    tops = {path.split("/")[0] for path in paths}
    if tops == {"train", "test"} and all(path.count("/") >= 2 for path in paths):
        return {top: [(p.split("/")[1], p) for p in paths if p.startswith(f"{top}/")] for top in ("train", "test")}
    if deep := next((path for path in paths if path.count("/") > 1), None):
        raise UserError(
            f"dataset folder:{folder}: {deep} lies too deep; it must look like CLASS/IMAGE.png, or like "
            "train/CLASS/IMAGE.png and test/CLASS/IMAGE.png"
        )
    return {"train": [(p.split("/")[0], p) for p in paths], "test": []}


def _images(folder: Path, paths: list[str], size: int | None) -> np.ndarray:
    def opened(path: str) -> tuple[np.ndarray, bool]:
        from PIL import Image

        try:
            with Image.open(folder / path) as image:
                grey = image.mode in ("1", "L")
                image = image.convert("L" if grey else "RGB")
                if size is not None:
                    image = image.resize((size, size), Image.Resampling.BILINEAR)
                array = np.asarray(image)
        except Exception as error:  # damaged bytes fail in many ways
            raise UserError(f"dataset folder:{folder}: cannot read {path}: {one_line(error)}") from error
        return array.reshape(*array.shape[:2], -1), grey

    with ThreadPoolExecutor() as pool:  # decoding leaves Python's lock
        found = list(pool.map(opened, paths))
    for path, (array, _) in zip(paths, found, strict=True):
        if array.shape[:2] != found[0][0].shape[:2]:
            (h, w), (height, width) = array.shape[:2], found[0][0].shape[:2]
            raise UserError(
                f"dataset folder:{folder}: {path} has {h}x{w} pixels, {paths[0]} has {height}x{width}; "
                f"--dataset.size {min(height, width)} resizes all"
            )
    channels = 1 if all(grey for _, grey in found) else 3
    stacked = np.stack([np.broadcast_to(array, (*array.shape[:2], channels)) for array, _ in found])
    return np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))
