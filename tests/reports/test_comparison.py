"""Two runs, methods or folders side by side: what differs, numbers paired, masks' agreement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.errors import UserError
from benchmark.network import digest
from benchmark.records import write_masks
from reports.comparison import compare
from tests.reports.made_up import point_row, write_results, write_run


def told(a: str | Path, b: str | Path, results: Path | None = None) -> dict[str, Any]:
    """What is told, by title."""
    return {part.title: part.shown for part in compare(str(a), str(b), results)}


def with_masks(folder: Path, *kept: int) -> str:
    """Write a mask of eight entries, of which some are kept; its digest."""
    masks = {"w": torch.tensor([i in kept for i in range(8)])}
    write_masks(folder, digest(masks), masks)
    return digest(masks)


def test_two_runs_are_told_apart_by_options_points_and_masks(tmp_path: Path) -> None:
    folders = [write_run(tmp_path, name, [], **{"pruner": name, "train.lr": 0.1}) for name in ("a", "b")]
    shas = [with_masks(folders[0], 0, 1, 2), with_masks(folders[1], 1, 2, 3)]
    for folder, sha, top1 in zip(folders, shas, (0.9, 0.8), strict=True):
        rows = [point_row(1, 4, top1, masks_sha256=sha, weights_sha256=sha), point_row(2, 8, 0.5)]
        write = "".join(f"{json.dumps(row)}\n" for row in rows[: 2 if top1 == 0.9 else 1])
        (folder / "points.jsonl").write_text(write)
    found = told(*folders)
    assert found["configuration: what differs"].to_numpy().tolist() == [["pruner", "a", "b"]]
    assert found["environment"] == "the same"
    [row] = found["measured points"].to_dict("records")
    assert (row["top-1 (%)"], row["of the other"], row["weights"]) == ("90.00", "80.00", "differ")
    assert row["masks agree (%)"] == "50.0"  # two of four
    assert found["points of only one"] == "1"


def test_two_methods_are_compared_by_their_options_sizes_and_seeds(tmp_path: Path) -> None:
    write_results(tmp_path, seeds=3)
    found = told("magnitude", "snip", tmp_path)
    options = next(shown for title, shown in found.items() if "options of magnitude and snip" in title)
    assert ["pruner.sparsity", "None", "0.5 | 0.9"] in options.to_numpy().tolist()
    assert set(found["Smallest network at comparable accuracy"]["method"]) == {"magnitude", "snip"}
    [differences] = [shown for title, shown in found.items() if title.startswith("Test top-1 minus that of snip")]
    assert list(differences["method"]) == ["magnitude"]
    with pytest.raises(UserError, match="unknown method 'snpi'"):
        told("magnitude", "snpi", tmp_path)


def test_two_folders_say_which_runs_are_equal_and_how_far_the_others_are_apart(tmp_path: Path) -> None:
    for place in "ab":
        write_results(tmp_path / place)
    write_run(tmp_path / "a", "alone", [point_row(1, 4, 0.9)], seed=7)
    rows = [point_row(1, 2, 0.98 - 0.02 * 0.5 - 0.02, epochs_total=10)]
    folder = tmp_path / "b" / "runs" / "snip-0.5-1"
    (folder / "points.jsonl").write_text(f"{json.dumps(rows[0])}\n")
    found = told(tmp_path / "a", tmp_path / "b")
    assert found["runs"] == "8 in both, 1 and 0 in one"
    assert found["equal"].startswith("7 of 8")
    assert found["snip-0.5-1"] == "top-1 up to 2.00 points apart"
    [table] = [shown for title, shown in found.items() if title.startswith("test top-1 of the second")]
    snip = table[table["method"] == "snip"].iloc[0]
    assert (snip["points"], snip["mean"], snip["largest"]) == (4, "-0.50", "-2.00")


def test_a_run_and_a_folder_are_not_of_one_kind(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "a", [])
    with pytest.raises(UserError, match=r"is a run and .* is none; compare two runs, or two results folders"):
        told(folder, tmp_path)


def test_what_is_no_folder_may_be_a_method_whose_folder_was_forgotten(tmp_path: Path) -> None:
    write_results(tmp_path)
    said = r"there is no folder magnitude; .* prunebench compare magnitude snip --results DIR"
    with pytest.raises(UserError, match=said):
        told("magnitude", "snip")
    with pytest.raises(UserError, match=r"there is no folder .*missing; compare two runs"):
        told(tmp_path, tmp_path / "missing")


def test_a_run_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folders = [write_run(tmp_path, name, []) for name in "ab"]
    (folders[1] / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"b cannot be compared: damaged: config.json"):
        told(*folders)
