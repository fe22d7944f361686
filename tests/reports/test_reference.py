"""The results that come with the package, and how they are packed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

import reports
from benchmark.cli.entry import main
from benchmark.config import PROTOCOL
from benchmark.errors import UserError
from docs import remake
from reports import reference
from tests.reports.made_up import by, point_row, write_run


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two finished runs and one under way, packed."""
    results = tmp_path / "results"
    for seed in (0, 1):
        write_run(results, f"snip-{seed}", [point_row(0, 1, 0.9), point_row(1, 2, 0.8)], seed=seed)
    (write_run(results, "late", [point_row(0, 1, 0.9)], seed=2) / "status.json").write_text('{"state": "failed"}')
    monkeypatch.setattr(reference, "FOLDER", tmp_path / "reference")
    reference.pack(results, "made_up")
    return results


def test_packed_runs_read_back_as_they_were_without_their_place(packed: Path) -> None:
    whole, compact = reports.load(packed), reports.load("reference")
    names = ["snip-0", "snip-1"]
    columns = ["top1", "val_top1", "compression_params"]
    here, there = (by(r.points[r.points["counted"]], "run", "round")[columns] for r in (whole, compact))
    assert here.loc[names].equals(there)
    assert compact.records[0].source == "reference"
    assert "results" not in {name for run in reference.packed_runs() for name in run["config.json"]["config"]}


def test_a_newcomers_own_run_takes_the_place_of_the_reference_run_of_its_identity(packed: Path) -> None:
    both = reports.load(packed, "reference")
    assert [run.source for run in both.records if run.name == "snip-0"] == [str(packed)]


def test_a_report_sets_reference_runs_beside_others(packed: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    write_run(own, "mine", [point_row(0, 1, 0.9), point_row(1, 4, 0.85)], pruner="mine", seed=0)
    with pytest.raises(SystemExit, match="0"):
        main(["report", str(own), "--with", "reference", "--out", str(tmp_path / "out")])
    assert f"prunebench report {own} --with reference</code>" in (tmp_path / "out" / "index.html").read_text()
    points = (tmp_path / "out" / "points.csv").read_text()
    assert "mine" in points
    assert "snip-1" in points


def test_a_folder_without_a_finished_run_is_not_packed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run in"):
        reference.pack(tmp_path, "none")


@pytest.mark.parametrize("commit", ["abc+", None])
def test_runs_of_code_that_is_no_commit_are_not_packed(tmp_path: Path, commit: str | None) -> None:
    folder = write_run(tmp_path, "snip", [point_row(0, 1, 0.9)])
    (folder / "environment.json").write_text(json.dumps({"commit": commit}))
    with pytest.raises(UserError, match=r"was made by (abc\+|no commit): reference results come from a clean checkout"):
        reference.pack(tmp_path, "none")


def test_no_path_of_a_users_own_files_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_run(tmp_path, "mine", [point_row(0, 1, 0.9)], pruner="/home/me/mine.py:Mine")
    head = json.loads((folder / "config.json").read_text())
    source = {"name": "Mine", "label": "Mine 0a1b", "path": "/home/me/mine.py"}
    about = {"method": {**source, "call": "/home/me/mine.py:Mine"}, "sources": {"pruner": source}}
    (folder / "config.json").write_text(json.dumps(head | about))
    monkeypatch.setattr(reference, "FOLDER", tmp_path / "reference")
    reference.pack(tmp_path, "made_up")
    [run] = reference.packed_runs()
    assert "/home/me" not in json.dumps(run)
    assert run["config.json"]["config"]["pruner"] == run["config.json"]["method"]["label"] == "Mine 0a1b"


def test_the_shipped_reference_results_are_small_and_finished() -> None:
    files = sorted(reference.FOLDER.glob(f"*{reference.SUFFIX}"))
    assert files
    assert all(file.stat().st_size < 1 << 20 for file in files)
    runs = list(reference.packed_runs())
    assert Counter(run["config.json"]["config"]["dataset"] for run in runs) == {"digits": 87, "mnist": 495}
    assert {run["status.json"]["state"] for run in runs} == {"done"}
    assert {run["config.json"]["protocol_number"] for run in runs} == {PROTOCOL}
    assert not any(run["environment.json"]["commit"].endswith("+") for run in runs)
    assert all("prune_flops" in point for run in runs for point in run["points"])


def test_the_documents_tables_are_those_of_the_reference_results() -> None:
    settings = {setting.name.rpartition(" · ")[0]: setting for setting in reports.load("reference").settings}
    for task, (name, page) in remake.TASKS.items():
        text = (remake.ROOT / page).read_text()
        assert remake.BEGIN.format(task=task) in text
        assert remake.with_table(text, task, settings[name]) == text
