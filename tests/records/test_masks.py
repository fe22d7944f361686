"""Masks of a measured point, packed and read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.config import run_config
from benchmark.network import digest
from benchmark.records import Damaged, Record, read_masks, write_masks
from benchmark.records.masks import masks_file
from benchmark.runs import carry_out

MASKS = {
    "fc2.weight": torch.rand(5, 7) < 0.5,
    "fc1.weight": torch.rand(3, 1, 3, 3) < 0.2,
    "fc1.bias": torch.ones(3) > 0,
}


def written(folder: Path) -> str:
    sha256 = digest(MASKS)
    write_masks(folder, sha256, {name: mask.numpy() for name, mask in MASKS.items()})
    return sha256


def test_masks_come_back_as_they_were_in_one_bit_an_entry(tmp_path: Path) -> None:
    found = read_masks(tmp_path, written(tmp_path))
    assert found is not None
    assert list(found) == list(MASKS)
    for name, mask in MASKS.items():
        np.testing.assert_array_equal(found[name], mask.numpy())
    big = {"w": torch.rand(300, 784) < 0.1}
    write_masks(tmp_path, digest(big), {"w": big["w"].numpy()})
    assert masks_file(tmp_path, digest(big)).stat().st_size < 300 * 784 / 8 + 300


def test_masks_that_a_run_did_not_keep_are_none(tmp_path: Path) -> None:
    assert read_masks(tmp_path, "00") is None


@pytest.mark.parametrize("place", [0, 20, -1])
def test_a_changed_byte_is_noticed(tmp_path: Path, place: int) -> None:
    sha256 = written(tmp_path)
    file = masks_file(tmp_path, sha256)
    content = bytearray(file.read_bytes())
    content[place] ^= 0b1000_0000
    file.write_bytes(content)
    with pytest.raises(Damaged, match="masks-"):
        read_masks(tmp_path, sha256)


def test_a_cut_file_is_noticed(tmp_path: Path) -> None:
    sha256 = written(tmp_path)
    file = masks_file(tmp_path, sha256)
    for length in (0, 4, 30, file.stat().st_size - 1):
        file.write_bytes(file.read_bytes()[:length])
        with pytest.raises(Damaged):
            read_masks(tmp_path, sha256)


def test_a_run_keeps_the_masks_of_every_point(tmp_path: Path) -> None:
    options = {"train.epochs": 1, "retrain.epochs": 1, "train_limit": 200, "wandb": "off", "device": "cpu"}
    method = {"pruner": "magnitude", "pruner.sparsity": 0.75, "pruner.rounds": 2}
    outcome = carry_out(run_config({**options, **method, "results": tmp_path}))
    points = Record(outcome.folder).read_rows("points.jsonl")
    assert len(points) == 5
    for point in points:
        masks = read_masks(outcome.folder, point["masks_sha256"])
        assert masks is not None
        kept = {layer["name"]: layer["kept"] for layer in point["layers"]}
        assert {name.removesuffix(".weight"): int(mask.sum()) for name, mask in masks.items()} == kept
    assert len(list(outcome.folder.glob("masks-*"))) == 3  # whole, and a file for each round
