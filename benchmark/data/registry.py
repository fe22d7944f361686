"""The datasets' files: checked against the published checksums, read as arrays, downloaded where allowed.

Importing this imports neither torch nor torchvision.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.data import tiny_imagenet
from benchmark.errors import UserError, unknown

Images = NDArray[np.uint8]  # (n, channels, height, width)
Content = bytes | dict[str, bytes]  # of a file; of a folder, by path


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

    train_images: Images
    train_labels: NDArray[np.int64]
    test_images: Images
    test_labels: NDArray[np.int64]
    classes: int
    verified: bool
    digests: dict[str, str]


_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_CIFAR10_TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))

# Means and standard deviations over the pixels of the whole training set; tests compute them again.
NAMES: dict[str, DatasetInfo] = {
    "digits": DatasetInfo(
        10, (1, 8, 8), 1437, 360, (0.3053,), (0.3759,), False,
        "scikit-learn's 1,797 handwritten digits of 8x8, in the package; a fixed stratified fifth is the test set",
    ),
    "mnist": DatasetInfo(
        10, (1, 28, 28), 60000, 10000, (0.1307,), (0.3081,), False,
        "handwritten digits, 28x28 grey, 60,000 + 10,000", "MNIST/raw",
        dict(zip(_IDX, (
            "6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637",
        ), strict=True)),
    ),
    "fashion_mnist": DatasetInfo(
        10, (1, 28, 28), 60000, 10000, (0.2860,), (0.3530,), False,
        "pictures of clothing, 28x28 grey, 60,000 + 10,000", "FashionMNIST/raw",
        dict(zip(_IDX, (
            "f4a8712d7a061bf5bd6d2ca38dc4d50a", "9018921c3c673c538a1fc5bad174d6f9",
            "8181f5470baa50b63fa0f6fddb340f0a", "15d484375f8d13e6eb1aabb0c3f46965",
        ), strict=True)),
    ),
    "cifar10": DatasetInfo(
        10, (3, 32, 32), 50000, 10000, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), True,
        "photographs of 10 classes, 32x32 colour, 50,000 + 10,000", "cifar-10-batches-py",
        {
            "data_batch_1": "c99cafc152244af753f735de768cd75f", "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751", "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb", "test_batch": "40351d587109b95175f43aff81a1287e",
        },
    ),
    "cifar100": DatasetInfo(
        100, (3, 32, 32), 50000, 10000, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), True,
        "photographs of 100 classes, 32x32 colour, 50,000 + 10,000", "cifar-100-python",
        {"train": "16019d7e3df5f24257cddd939b257f8d", "test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    ),
    "tiny_imagenet": DatasetInfo(
        200, (3, 64, 64), 100000, 10000, (0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821), True,
        "photographs of 200 ImageNet classes, 64x64 colour, 100,000 + the 10,000 published for validation", "",
        {"tiny-imagenet-200.zip": "90528d7ca1a48142e341f4ef8d21d0de"},
    ),
    "tiny_imagenet_20": DatasetInfo(
        20, (3, 64, 64), 10000, 1000, (0.4926, 0.4458, 0.3958), (0.2801, 0.2742, 0.2841), True,
        "every tenth class of Tiny-ImageNet, 10,000 + 1,000; an unpacked folder, not to be downloaded", "",
        {"tiny-imagenet-20": "d72849075c5e3bb0aa60bad47520188b"},  # of the folder: tiny_imagenet.digest
    ),
}  # fmt: skip


def dataset_info(name: str) -> DatasetInfo:
    """What is known of the dataset `name`; raises UserError for an unknown one."""
    if name not in NAMES:
        raise unknown("dataset", name, NAMES)
    return NAMES[name]


def fetch(name: str, data_dir: Path | None, *, allow_unverified: bool = False, download: bool = True) -> RawDataset:
    """The dataset as arrays, from `data_dir`; files that are not there are downloaded if `download`.

    Every file is held against its published MD5 before it is opened. One that differs is an error,
    unless `allow_unverified`: then it is read by a reader that builds nothing but arrays.

    Raises UserError, naming the file, for one that is missing, differs or is damaged.
    """
    info = dataset_info(name)
    if name == "digits":
        return _digits()
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
    try:
        train_images, train_labels, test_images, test_labels = _READERS[name](name, contents)
        _check(info, train_images, train_labels)
        _check(info, test_images, test_labels)
    except Exception as error:  # damaged bytes fail in many ways
        raise UserError(
            f"{folder} holds damaged files ({', '.join(differing)}): {_one_line(error)}; remove and fetch them again"
        ) from error
    return RawDataset(train_images, train_labels, test_images, test_labels, info.classes, not differing, digests)


def describe(name: str, data_dir: Path | None, *, allow_unverified: bool = False) -> str:
    """What `prunebench data` prints: counts, shape, classes, digests and whether they are the published ones."""
    raw = fetch(name, data_dir, allow_unverified=allow_unverified)
    shape = "x".join(map(str, raw.train_images.shape[1:]))
    counts = (
        f"{len(raw.train_labels):,} training and {len(raw.test_labels):,} test images of {shape}, {raw.classes} classes"
    )
    verified = "as published" if raw.verified else "NOT as published; records will say data_verified: false"
    lines = [
        f"{name}: {counts}",
        f"files: {verified}",
        *(f"  {digest}  {file}" for file, digest in raw.digests.items()),
    ]
    return "\n".join(lines)


def _digits() -> RawDataset:
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    images = np.rint(found.images * (255 / 16)).astype(np.uint8)[:, None]  # values 0..16 -> (n, 1, 8, 8)
    labels = found.target.astype(np.int64)
    test = stratified(labels, 360, seed=0)
    rest = np.setdiff1d(np.arange(len(labels)), test)
    digest = hashlib.md5(images.tobytes() + labels.tobytes(), usedforsecurity=False).hexdigest()
    return RawDataset(images[rest], labels[rest], images[test], labels[test], 10, True, {"sklearn digits": digest})


def stratified(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """`count` sorted indices that hold each class in its share (largest remainders), drawn from `seed`."""
    classes, sizes = np.unique(labels, return_counts=True)
    exact = sizes * count / len(labels)
    quota = np.floor(exact).astype(int)
    quota[np.argsort(quota - exact, kind="stable")[: count - quota.sum()]] += 1
    generator = np.random.default_rng(seed)
    drawn = [generator.permutation(np.flatnonzero(labels == c))[:q] for c, q in zip(classes, quota, strict=True)]
    return np.sort(np.concatenate(drawn))


def _download(name: str, root: Path) -> None:
    """Fetch a dataset with torchvision's class for it, from its mirrors; nothing is left of half a download."""
    from torchvision import datasets
    from torchvision.datasets.utils import download_url

    info = NAMES[name]
    classes = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
    if name == "tiny_imagenet_20":
        raise UserError(f"{name} is not in {root} (no tiny-imagenet-20); it is a cut that cannot be downloaded")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=root, prefix=".download-") as part:
            if name in classes:
                getattr(datasets, classes[name])(part, download=True)
            else:
                ((file, md5),) = info.files.items()
                download_url(tiny_imagenet.URL, part, file, md5)
            (root / info.folder).mkdir(parents=True, exist_ok=True)
            for file in info.files:
                (Path(part) / info.folder / file).replace(root / info.folder / file)
    except Exception as error:
        way = "give the folder that has it with --data_dir or PRUNEBENCH_DATA"
        raise UserError(
            f"{name} is not in {root} and could not be downloaded ({type(error).__name__}); {way}"
        ) from error


def _read(path: Path) -> Content:
    try:
        return tiny_imagenet.folder_contents(path) if path.is_dir() else path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {error.filename or path}: {error.strerror}") from error


def _digest(content: Content) -> str:
    if isinstance(content, bytes):
        return hashlib.md5(content, usedforsecurity=False).hexdigest()
    return tiny_imagenet.digest(content)


def _tiny_imagenet(name: str, contents: dict[str, Any]) -> tuple[Any, ...]:
    (content,) = contents.values()
    return tiny_imagenet.arrays(tiny_imagenet.archive_contents(content) if isinstance(content, bytes) else content)


def _idx(name: str, contents: dict[str, bytes]) -> tuple[Any, ...]:
    train_images, train_labels, test_images, test_labels = (_idx_array(contents[file]) for file in _IDX)
    return train_images[:, None], train_labels.astype(np.int64), test_images[:, None], test_labels.astype(np.int64)


def _idx_array(content: bytes) -> Images:
    """The array of an idx file (Y. LeCun's format: type, dimensions, sizes, bytes)."""
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    zeros, kind, dimensions = struct.unpack(">HBB", content[:4])
    if zeros or kind != 8:
        raise ValueError("not an idx file of bytes")
    shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _cifar(name: str, contents: dict[str, bytes]) -> tuple[Any, ...]:
    train = _CIFAR10_TRAIN if name == "cifar10" else ("train",)
    test = "test_batch" if name == "cifar10" else "test"
    key = b"labels" if name == "cifar10" else b"fine_labels"
    batches = {file: _Restricted(io.BytesIO(content), encoding="bytes").load() for file, content in contents.items()}
    images = np.concatenate([batches[f][b"data"] for f in train]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([batches[f][key] for f in train]).astype(np.int64)
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


_READERS: dict[str, Callable[[str, dict[str, Any]], tuple[Any, ...]]] = {
    **dict.fromkeys(("mnist", "fashion_mnist"), _idx),
    **dict.fromkeys(("cifar10", "cifar100"), _cifar),
    **dict.fromkeys(("tiny_imagenet", "tiny_imagenet_20"), _tiny_imagenet),
}


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _check(info: DatasetInfo, images: Images, labels: NDArray[np.int64]) -> None:
    if images.shape[1:] != info.shape or len(images) != len(labels) or images.dtype != np.uint8:
        raise ValueError(f"images of {images.shape[1:]} with {len(labels)} labels")
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= info.classes:
        raise ValueError(f"labels are not in 0..{info.classes - 1}")
