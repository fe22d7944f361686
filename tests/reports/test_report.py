"""The whole report of a folder of records."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.errors import UserError
from reports import build, summary_text
from tests.reports.made_up import point_row, write_results, write_run


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_report_made_twice_is_the_same_bytes(tmp_path: Path) -> None:
    write_results(tmp_path)
    first = content(build(tmp_path).folder)
    assert {"index.html", "problems.csv", "digits-lenet-adam-protocol-2/smallest_network.csv"} <= first.keys()
    assert content(build(tmp_path).folder) == first


def test_a_run_of_the_paper_protocol_changes_no_byte_of_the_other_tables(tmp_path: Path) -> None:
    write_results(tmp_path)
    before = content(build(tmp_path).folder)
    paper = {"protocol": "paper", "train.epochs": 99, "pruner.x": 1}
    write_run(tmp_path, "z", [point_row(0, 1, 0.2), point_row(1, 1000, 0.1)], **paper)
    write_run(tmp_path, "a", [point_row(0, 1, 0.2)], pruner="dense", **paper)
    write_run(tmp_path, "b", [point_row(0, 1, 0.3), point_row(1, 500, 0.3)], protocol_number=1)
    after = content(build(tmp_path).folder)
    kept = [name for name in before if "/" in name]
    assert len(kept) >= 8
    assert all(after[name] == before[name] for name in kept)
    assert "digits-lenet-adam-protocol-2-paper/smallest_network.csv" in after
    assert "digits-lenet-adam-protocol-1/smallest_network.csv" in after


def test_damaged_records_are_problems_and_the_rest_is_reported(tmp_path: Path) -> None:
    write_results(tmp_path)
    whole = content(build(tmp_path).folder)
    (write_run(tmp_path, "bad", []) / "points.jsonl").write_text("{")
    report = build(tmp_path)
    after = content(report.folder)
    assert all(after[name] == whole[name] for name in whole if "/" in name)
    assert "points.jsonl: line 1: not JSON" in after["problems.csv"].decode()
    assert "points.jsonl: line 1: not JSON" in summary_text(report)


def test_a_report_of_damaged_records_alone_is_made(tmp_path: Path) -> None:
    (write_run(tmp_path, "bad", []) / "config.json").write_text("")
    assert "bad" in summary_text(build(tmp_path))


@pytest.mark.parametrize("out", [".", "results", "results/runs"])
def test_a_report_that_would_delete_something_is_refused_before_anything_is_read(tmp_path: Path, out: str) -> None:
    write_results(tmp_path / "results", seeds=1)
    before = content(tmp_path)
    with pytest.raises(UserError, match="no report is written to"):
        build(Path("results"), out=Path(out))
    assert content(tmp_path) == before
