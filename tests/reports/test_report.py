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


def test_the_page_escapes_texts_of_records_and_links_to_the_runs(tmp_path: Path) -> None:
    write_results(tmp_path)
    write_run(tmp_path, "a#b?c%20<i>", [point_row(0, 1, 0.9), point_row(1, 4, 0.8)], pruner="<script>alert(1)</script>")
    page = (build(tmp_path).folder / "index.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert 'href="../runs/a%23b%3Fc%2520%3Ci%3E"' in page


def test_every_table_is_there_as_csv_markdown_and_latex_and_all_points_in_one_file(tmp_path: Path) -> None:
    write_results(tmp_path)
    files = content(build(tmp_path, reference="snip").folder)
    place = "digits-lenet-adam-protocol-2"
    for name in ("smallest_network", "accuracy_at_compression", "accuracy_at_cost", "cost", "paired_differences"):
        assert {f"{place}/{name}.{form}" for form in ("csv", "md", "tex")} <= files.keys()
    lines = files["points.csv"].decode().splitlines()
    assert len(lines) == 1 + 2 + 2 * 4 + 4
    assert lines[0].startswith("run,setting,method,seed,counted,pruner.sparsity,stage,drop")


def test_a_reference_that_is_not_there_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    write_results(tmp_path)
    with pytest.raises(UserError, match=r"unknown reference method 'magnitud', did you mean 'magnitude'"):
        build(tmp_path, reference="magnitud")
    assert not (tmp_path / "report").exists()


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
