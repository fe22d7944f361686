"""The datasets by name: published ones, a folder of images, what a function of the user's returns.

Importing this imports neither torch nor torchvision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from benchmark.data import digits, files, folder, function
from benchmark.data.raw import DatasetInfo, RawDataset, info_of
from benchmark.errors import UserError, unknown
from benchmark.fields import Option, parameters_of
from benchmark.user_code import Source, is_file, load

NAMES: dict[str, DatasetInfo] = {
    "digits": digits.INFO,
    **{name: info for name, (info, _, _) in files.PUBLISHED.items()},
}
WAY_ON = "of your own: folder:PATH, path/to/file.py:function"


@dataclass(frozen=True)
class Images:
    """A dataset that can be read: its name and own options. `own` reads one of the user's, by these options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    source: Source | None = None
    own: Callable[..., RawDataset] | None = field(default=None, compare=False, repr=False)

    def with_options(self, options: Mapping[str, Any]) -> Images:
        return replace(self, options=dict(options))

    @property
    def info(self) -> DatasetInfo:
        """What is known of it; one of the user's is read for that."""
        return NAMES[self.name] if self.own is None else info_of(self.own(**self.options), "of your own")

    def read(self, data_dir: Path | None, *, allow_unverified: bool = False) -> RawDataset:
        """Its arrays.

        Raises UserError, naming the file, for one that is missing, differs from the published or is damaged.
        """
        return self.own(**self.options) if self.own else fetch(self.name, data_dir, allow_unverified=allow_unverified)


def find_images(name: str) -> tuple[Images, dict[str, Option]]:
    """The dataset called `name`, with default options, and its own options by dotted name (`dataset.size`).

    Raises UserError for an unknown name, a folder without images, a file that cannot be read.
    """
    if name.startswith("folder:"):
        path = Path(name.removeprefix("folder:")).resolve()
        found = folder.listing(path)
        source = Source(path.name, folder.digest(path, found), str(path))
        own: Callable[..., RawDataset] = partial(_read_folder, path, found)
        options = parameters_of(_read_folder, 2, "dataset.", "dense")
    elif is_file(name):
        made, source = load("dataset", name, "function", callable)
        if not callable(made):
            raise UserError(f"dataset '{name}' is no function; it must return {function.EXPECTED}")
        own, options = _once(made, name), parameters_of(made, 0, "dataset.", "dense")
    elif name in NAMES:
        return Images(name), {}
    else:
        raise unknown("dataset", name, NAMES, WAY_ON)
    defaults = {k.removeprefix("dataset."): option.default for k, option in options.items()}
    return Images(name, defaults, defaults, source, own), options


def dataset_info(name: str) -> DatasetInfo:
    """What is known of the dataset `name`; raises UserError for an unknown one."""
    return find_images(name)[0].info


def fetch(name: str, data_dir: Path | None, *, allow_unverified: bool = False, download: bool = True) -> RawDataset:
    """A dataset of this suite as arrays; see `files.fetch`. Raises UserError for an unknown one too."""
    if name not in NAMES:
        raise unknown("dataset", name, NAMES, WAY_ON)
    if name == "digits":
        return digits.read()
    return files.fetch(name, data_dir, allow_unverified=allow_unverified, download=download)


def describe(images: Images, data_dir: Path | None, *, allow_unverified: bool = False) -> str:
    """What `prunebench data` prints: counts, shape, classes, digests and whether they are the published ones."""
    raw = images.read(data_dir, allow_unverified=allow_unverified)
    shape = "x".join(map(str, raw.train_images.shape[1:]))
    counts = (
        f"{len(raw.train_labels):,} training and {len(raw.test_labels):,} test images of {shape}, {raw.classes} classes"
    )
    verified = "as published" if raw.verified else "NOT as published; records will say data_verified: false"
    lines = [
        f"{images.name}: {counts}",
        "files: of your own" if images.own else f"files: {verified}",
        *(f"  {digest}  {file}" for file, digest in raw.digests.items()),
    ]
    return "\n".join(lines)


def _read_folder(
    path: Path,
    found: folder.Listing,
    size: int | None = None,  # pixels that all images are resized to on a side; None: they have one size
) -> RawDataset:
    return folder.read(path, found, size)


@cache
def _once(made: Callable[..., Any], name: str) -> Callable[..., RawDataset]:
    """A reader that keeps what the function last returned: a run asks twice, before and when it begins."""
    kept: dict[str, RawDataset] = {}

    def read(**options: Any) -> RawDataset:
        key = repr(sorted(options.items()))
        if key not in kept:
            kept.clear()
            kept[key] = function.read(made, name, options)
        return kept[key]

    return read
