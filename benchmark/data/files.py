"""Published files: held against their checksums before they are opened, downloaded where allowed."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmark.data import cifar, idx, tiny_imagenet
from benchmark.data.raw import Arrays, DatasetInfo, RawDataset, one_line
from benchmark.errors import UserError

Content = bytes | dict[str, bytes]  # of a file; of a folder, by path

# By name: what is published, what reads it, and torchvision's class that fetches it.
PUBLISHED: dict[str, tuple[DatasetInfo, Callable[[Any], Arrays], str]] = {
    "mnist": (idx.MNIST, idx.arrays, "MNIST"),
    "fashion_mnist": (idx.FASHION_MNIST, idx.arrays, "FashionMNIST"),
    "cifar10": (cifar.CIFAR10, cifar.arrays, "CIFAR10"),
    "cifar100": (cifar.CIFAR100, cifar.arrays, "CIFAR100"),
    "tiny_imagenet": (tiny_imagenet.WHOLE, tiny_imagenet.arrays, ""),
    "tiny_imagenet_20": (tiny_imagenet.TENTH, tiny_imagenet.arrays, ""),
}


def fetch(name: str, data_dir: Path | None, *, allow_unverified: bool = False, download: bool = True) -> RawDataset:
    """A published dataset as arrays, from `data_dir`; files that are not there are downloaded if `download`.

    Every file is held against its published MD5 before it is opened. One that differs is an error,
    unless `allow_unverified`: then it is read by a reader that builds nothing but arrays.

    Raises UserError, naming the file, for one that is missing, differs or is damaged.
    """
    info, arrays, _ = PUBLISHED[name]
    folder, contents, digests, differing = _checked(name, data_dir, allow_unverified, download)
    try:
        raw = RawDataset(*arrays(contents), info.classes, not differing, digests)
        raw.check(info.shape)
    except Exception as error:  # damaged bytes fail in many ways
        raise UserError(
            f"{folder} holds damaged files ({', '.join(differing)}): {one_line(error)}; remove and fetch them again"
        ) from error
    return raw


def check_files(name: str, data_dir: Path | None, *, allow_unverified: bool = False) -> None:
    """Hold the files of a dataset against their MD5s as `fetch` does, and do not open them.

    Raises UserError for one that is missing and cannot be downloaded, or differs.
    """
    if name in PUBLISHED:
        _checked(name, data_dir, allow_unverified, True)


def _checked(
    name: str, data_dir: Path | None, allow_unverified: bool, download: bool
) -> tuple[Path, dict[str, Content], dict[str, str], list[str]]:
    """The folder of a dataset; what is in its files, and their digests, by name; those that differ."""
    info, _, _ = PUBLISHED[name]
    root = data_dir or Path("data")
    folder = root / info.folder
    if missing := [f for f in info.files if not (folder / f).exists()]:
        if not download:
            raise UserError(
                f"{name} is not in {folder} (no {missing[0]}); `prunebench data {name} --data_dir {root}` fetches it"
            )
        _download(name, root)
    contents = {file: _read(folder / file) for file in info.files}
    digests = {file: _digest(content) for file, content in contents.items()}
    differing = [file for file, digest in digests.items() if digest != info.files[file]]
    if differing and not allow_unverified:
        raise UserError(
            f"{folder / differing[0]} differs from the published file (MD5 {digests[differing[0]]}); "
            "remove it to fetch it again, or read it all the same with --allow_unverified_data"
        )
    return folder, contents, digests, differing


def _download(name: str, root: Path) -> None:
    """Fetch a dataset with torchvision's class for it, from its mirrors; nothing is left of half a download."""
    from torchvision import datasets
    from torchvision.datasets.utils import download_url

    info, _, fetched_by = PUBLISHED[name]
    if name == "tiny_imagenet_20":
        raise UserError(f"{name} is not in {root} (no tiny-imagenet-20); it is a cut that cannot be downloaded")
    made = _missing_folders(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=root, prefix=".download-") as part:
            if fetched_by:
                getattr(datasets, fetched_by)(part, download=True)
            else:
                ((file, md5),) = info.files.items()
                download_url(tiny_imagenet.URL, part, file, md5)
            (root / info.folder).mkdir(parents=True, exist_ok=True)
            for file in info.files:
                (Path(part) / info.folder / file).replace(root / info.folder / file)
    except BaseException as error:
        for folder in made:
            with contextlib.suppress(OSError):  # not empty: somebody else's now
                folder.rmdir()
        if not isinstance(error, Exception):
            raise
        way = "give the folder that has it with --data_dir or PRUNEBENCH_DATA"
        raise UserError(
            f"{name} is not in {root} and could not be downloaded ({type(error).__name__}); {way}"
        ) from error


def _missing_folders(folder: Path) -> list[Path]:
    """The folders that have to be made for this one, itself first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _read(path: Path) -> Content:
    try:
        return tiny_imagenet.folder_contents(path) if path.is_dir() else path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {error.filename or path}: {error.strerror}") from error


def _digest(content: Content) -> str:
    if isinstance(content, bytes):
        return hashlib.md5(content, usedforsecurity=False).hexdigest()
    return tiny_imagenet.digest(content)
