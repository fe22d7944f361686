"""Datasets of the user's own: a folder of images by class, and what a function returns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.config.options import read_arguments, run_config
from benchmark.data.dataset import load_dataset
from benchmark.data.registry import find_images
from benchmark.errors import UserError
from benchmark.records.files import read_json
from benchmark.runs.execution import carry_out

FUNCTION = (
    "import numpy as np\nfrom PIL import Image\n\n\n"
    "def arrays(n: int = 60, side: int = 8):\n"
    "    labels = np.arange(n) % 3\n"
    "    images = (np.arange(n * side * side) % 251).astype(np.uint8).reshape(n, side, side)\n"
    "    return images, labels, images[:9], labels[:9]\n\n\n"
    "class Torchvision(list):\n    pass\n\n\n"
    "def items():\n"
    "    part = [(Image.new('RGB', (8, 8), (i, 0, 0)), i % 2) for i in range(40)]\n"
    "    return Torchvision(part), Torchvision(part[:10])\n\n\n"
    "def floats():\n    return (np.zeros((4, 8, 8)), [0, 1, 0, 1]), (np.zeros((4, 8, 8)), [0, 1, 0, 1])\n\n\n"
    "def nothing():\n    return None\n\n\n"
    "def fails():\n    raise KeyError('x')\n"
)


def _picture(path: Path, value: int, side: int = 8, mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (side, side), value if mode == "L" else (value, 0, 0)).save(path)


def _folder(root: Path, parts: tuple[str, ...] = ("train/", "test/"), mode: str = "L") -> Path:
    for part in parts:
        for name, value in (("cat", 10), ("dog", 200)):
            for i in range(20 if part != "test/" else 5):
                _picture(root / f"{part}{name}" / f"{i}.png", value + i, mode=mode)
    return root


def test_a_folder_with_train_and_test_is_read_by_class(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "pictures")
    (folder / "train" / "cat" / "notes.txt").write_text("no image")
    images, _ = find_images(f"folder:{folder}")
    raw = images.read(None)
    assert (len(raw.train_labels), len(raw.test_labels), raw.classes) == (40, 10, 2)
    assert raw.train_images.shape == (40, 1, 8, 8)
    assert set(raw.train_images[raw.train_labels == 0].ravel()) == set(range(10, 30))
    assert images.info.mean[0] == pytest.approx((raw.train_images / 255).mean())
    assert images.info.std[0] == pytest.approx((raw.train_images / 255).std())
    assert not images.info.augment
    data = load_dataset(f"folder:{folder}")
    assert [len(s.labels) for s in (data.train, data.validation, data.test)] == [36, 4, 10]


def test_a_folder_of_classes_alone_has_a_fixed_stratified_test_part(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "pictures", ("",), mode="RGB")
    images, _ = find_images(f"folder:{folder}")
    raw, again = images.read(None), find_images(f"folder:{folder}")[0].read(None)
    assert raw.train_images.shape == (32, 3, 8, 8)
    assert raw.test_labels.tolist() == [0] * 4 + [1] * 4
    assert np.array_equal(raw.test_images, again.test_images)
    assert images.info.augment


def test_what_is_in_a_folder_is_part_of_the_identity_and_where_it_lies_is_not(tmp_path: Path) -> None:
    runs = [run_config({"dataset": f"folder:{_folder(tmp_path / n / 'pictures')}", "pruner": "snip"}) for n in "ab"]
    assert runs[0].id == runs[1].id
    _picture(tmp_path / "b" / "pictures" / "train" / "cat" / "0.png", 99)
    changed = run_config({"dataset": f"folder:{tmp_path}/b/pictures", "pruner": "snip"})
    assert changed.id != runs[0].id
    assert changed.dense_id != runs[0].dense_id


@pytest.mark.parametrize("dataset", ["folder", "arrays(n=90)", "items"])
def test_a_dataset_of_ones_own_is_run_and_recorded(tmp_path: Path, dataset: str) -> None:
    (tmp_path / "mine.py").write_text(FUNCTION)
    name = f"folder:{_folder(tmp_path / 'pictures')}" if dataset == "folder" else f"{tmp_path}/mine.py:{dataset}"
    words = ["--dataset", name, *["--model", "torchvision/resnet18", "--image_size", "32", "--pruner", "random"]]
    if dataset == "arrays(n=90)":
        words[2:4] = ["--model", "lenet_300_100"]
        words = [w for w in words if w not in ("--image_size", "32")]
    words += [
        "--train.epochs",
        "1",
        "--train.batch_size",
        "10",
        "--score_examples",
        "20",
        "--wandb",
        "off",
        "--device",
        "cpu",
    ]
    outcome = carry_out(run_config(read_arguments(words)))
    assert (outcome.state, outcome.reason) == ("done", "")
    environment = read_json(outcome.folder / "environment.json")
    assert len(next(iter(environment["data_digests"].values()))) == 64
    assert read_json(outcome.folder / "config.json")["sources"]["dataset"]["digest"]


def test_a_folder_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    def refused(said: str, *options: str) -> None:
        words = ["--dataset", f"folder:{tmp_path}/x", "--pruner", "snip", *options]
        with pytest.raises(UserError, match=said) as caught:
            carry_out(run_config(read_arguments(words)))
        assert "\n" not in str(caught.value)
        assert not Path("results").exists()

    refused("is no folder")
    (tmp_path / "x" / "cat").mkdir(parents=True)
    refused("has no images in folders by class")
    _picture(tmp_path / "x" / "cat" / "0.png", 1)
    refused("it has one class, cat")
    _picture(tmp_path / "x" / "dog" / "0.png", 1, side=9)
    refused("dog/0.png has 9x9 pixels, cat/0.png has 8x8; --dataset.size 8 resizes all")
    refused("too few for a tenth of them", "--dataset.size", "8")
    (tmp_path / "x" / "dog" / "1.png").write_bytes(b"no image")
    refused("cannot read dog/1.png: UnidentifiedImageError", "--dataset.size", "8")
    refused("dataset.size must be a whole number or None, got big", "--dataset.size", "big")
    _picture(tmp_path / "x" / "dog" / "deep" / "0.png", 1)
    refused("dog/deep/0.png lies too deep")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("arays", "unknown function 'arays', did you mean 'arrays'"),
        ("nothing", "must return two parts, train and test"),
        ("floats", "images of float64, not uint8"),
        ("fails", "fails: KeyError"),
        ("arrays(n=20)", "too few for a tenth of them"),
        ("arrays(m=20)", "unknown option of .*:arrays 'dataset.m'"),
    ],
)
def test_a_function_that_gives_no_dataset_is_one_line(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "mine.py").write_text(FUNCTION)
    with pytest.raises(UserError, match=said) as caught:
        carry_out(run_config({"dataset": f"{tmp_path}/mine.py:{name}", "pruner": "snip"}))
    assert "\n" not in str(caught.value)


def test_a_failed_download_leaves_no_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    from benchmark.data.registry import fetch

    def unreachable(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no line")

    monkeypatch.setattr(datasets, "MNIST", unreachable)
    with pytest.raises(UserError, match="could not be downloaded"):
        fetch("mnist", tmp_path / "made" / "for" / "it")
    assert list(tmp_path.iterdir()) == []
