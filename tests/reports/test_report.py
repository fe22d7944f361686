"""The whole report of a folder of records."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.errors import UserError
from reports import build, load, summary_text, tables_of
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


def test_marks_are_explained_beneath_each_table_that_may_have_them_and_nowhere_else(tmp_path: Path) -> None:
    write_results(tmp_path, seeds=1)
    write_run(tmp_path, "p", [point_row(0, 1, 0.9), point_row(1, 4, 0.9)], protocol="paper")
    plain, paper = (tables_of(setting) for setting in load(tmp_path).settings)
    assert all("†: picked the best epoch on test data" in table.note for table in paper)
    assert not any("†" in table.note or "‡" in table.note for table in plain)


def test_figures_have_the_size_of_their_style(tmp_path: Path) -> None:
    write_results(tmp_path, seeds=1)
    name = "digits-lenet-adam-protocol-2/accuracy_compression_params.svg"
    drawn = [content(build(tmp_path, style=style).folder)[name].decode() for style in ("paper", "slides")]
    widths = [float(svg.partition('width="')[2].partition("pt")[0]) for svg in drawn]
    assert widths == [pytest.approx(5.5 * 72), pytest.approx(10 * 72)]


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


MEASURE = """
import json, sys, time
from pathlib import Path
from reports import load, tables_of
from reports.differences import rankings, ranks, wins
from reports.problems import problems
from reports.table import as_csv

results = load(sys.argv[1])
tables = [table for setting in results.settings for table in tables_of(setting)]
tables += [ranks(rankings(results.settings)), wins(results.settings), problems(results.records, results.settings)]
written = [table.files("") for table in tables if table], as_csv(results.points.drop(columns=["layers", "firing"]))
status = Path("/proc/self/status").read_text()  # getrusage would count what the tests' process had before
peak = 1024 * int(status.partition("VmHWM:")[2].split()[0])
print(json.dumps({"seconds": time.process_time(), "bytes": peak, "points": len(results.points)}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to tell its memory")
def test_two_thousand_runs_of_twenty_points_take_some_seconds_and_half_a_gigabyte_but_for_the_figures(
    tmp_path: Path,
) -> None:
    layers = [{"name": name, "kept": 10, "total": 100, "flops_dense": 100} for name in ("fc1", "fc2", "fc3")]
    for number in range(2000):
        setting, method, seed = number // 200, number // 5 % 40, number % 5
        pruner = "dense" if method == 0 else f"method_{method}"
        rows = [
            point_row(r, 1.3**r if method else 1, 0.98 - 0.001 * (method + seed + r) / 3, layers=layers)
            for r in range(20)
        ]
        write_run(tmp_path, f"run-{number}", rows, dataset=f"data_{setting}", pruner=pruner, seed=seed)
    done = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path)], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["points"] == 40_000
    assert found["bytes"] < 500e6
    assert found["seconds"] < 20  # of the processor; 7 to 10 on machines where others work too


def test_a_report_leaves_the_collector_as_it_was(tmp_path: Path) -> None:
    write_results(tmp_path)
    build(tmp_path)
    assert (gc.isenabled(), gc.get_freeze_count()) == (True, 0)
