"""One record's damage is one line in the list of problems, whatever it is."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.records import Record, Rows
from reports.files import ROWS_BYTES
from reports.records import RunRecord, read_sources
from reports.schema import printable
from tests.reports.made_up import CONFIG, point_row, write_run

WHOLE = {**CONFIG, "pruner": "snip", "seed": 0}


def row(**more: object) -> str:
    return json.dumps(point_row(1, 4, 0.9) | more)


def without(name: str) -> str:
    return json.dumps({k: v for k, v in point_row(1, 4, 0.9).items() if k != name})


def huge(path: Path) -> None:
    path.unlink()
    with path.open("wb") as file:
        file.truncate(ROWS_BYTES + 1)


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("points.jsonl", '{"round": 1, "to', "line 1: not JSON"),
        ("points.jsonl", row() + "\n[1]\n", "line 2: Input should be"),
        ("points.jsonl", row() + "\n\n", "line 2: not JSON"),
        ("points.jsonl", b"\xff\xfe", "line 1: not UTF-8"),
        ("points.jsonl", "[" * 100_000, "line 1: nested too deeply"),
        ("points.jsonl", row(top1=float("nan")), "top1: Input should be"),
        ("points.jsonl", row(top1=float("inf")), "top1: Input should be"),
        ("points.jsonl", row(top1=1.5), "top1: Input should be less than or equal to 1"),
        ("points.jsonl", row(top1=True), "top1: Input should be a valid number"),
        ("points.jsonl", row(val_top1="0.9"), "val_top1: Input should be a valid number"),
        ("points.jsonl", row(compression_params=10**400), "compression_params: Input should be"),
        ("points.jsonl", row(compression_params=-1), "compression_params: Input should be greater than 0"),
        ("points.jsonl", row().replace("0.9", "9" * 5000, 1), "line 1: not JSON"),
        ("points.jsonl", row(round=1.5), "round: Input should be a valid integer"),
        ("points.jsonl", row(stage=["trained"]), "stage: Input should be 'pruned' or 'trained'"),
        ("points.jsonl", row(layers={"fc1": 1}), "layers: Input should be a valid list"),
        ("points.jsonl", row(layers=[{"name": "a", "kept": 2, "total": 1}]), "more is kept than there is"),
        ("points.jsonl", row(layers=[{"name": "a", "kept": 0, "total": 0}]), "total: Input should be greater"),
        ("points.jsonl", without("collapsed"), "collapsed: Field required"),
        ("epochs.jsonl", '{"epoch": 1}', "line 1: round: Field required"),
        ("epochs.jsonl", "{}\n" * 3, "line 1: epoch: Field required"),
        ("config.json", "[]", "Input should be a valid dictionary"),
        ("config.json", '{"config": []}', "config: Input should be a valid dictionary"),
        ("config.json", '{"config": {"pruner": "snip"}}', "the configuration has no dataset"),
        ("config.json", "{}", "config: Field required"),
        ("config.json", json.dumps({"config": WHOLE}), "does not say what its options belong to"),
        ("config.json", " " * 2**20 + "{}", "more than 1 MiB"),
        ("environment.json", '{"hardware": "cpu"}', "hardware: Input should be"),
        ("environment.json", '{"classes": "ten"}', "classes: Input should be"),
        ("status.json", '{"state": null}', "state: Input should be a valid string"),
        ("status.json", '"done"', "Input should be a valid dictionary"),
        ("points.jsonl", huge, "more than 64 MiB"),
        ("points.jsonl", lambda path: replaced(path, os.mkfifo), "not a regular file"),
        ("status.json", lambda path: replaced(path, os.mkfifo), "not a regular file"),
        ("config.json", lambda path: replaced(path, Path.mkdir), "not a regular file"),
        ("epochs.jsonl", lambda path: replaced(path, bound), "not a regular file"),
        ("points.jsonl", lambda path: replaced(path, lambda p: p.symlink_to("/dev/zero")), "not a regular file"),
        ("points.jsonl", lambda path: replaced(path, lambda p: p.symlink_to(p.name)), "symbolic links"),
    ],
)
def test_a_damaged_record_is_listed_with_its_file_and_the_others_are_read(
    tmp_path: Path, file: str, content: str | bytes | Callable[[Path], object], why: str
) -> None:
    write_run(tmp_path, "whole", [point_row(0, 1, 0.9)], seed=1)
    path = write_run(tmp_path, "hostile", [point_row(0, 1, 0.9)]) / file
    if isinstance(content, str):
        content = content.encode()
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content(path)
    hostile, whole = read_sources(tmp_path)
    assert hostile.problem.startswith(f"damaged: {file}: ")
    assert why in hostile.problem
    assert len(hostile.problem.splitlines()) == 1
    assert not hostile.failed
    assert (whole.problem, len(whole.points)) == ("", 1)


def only(results: Path) -> RunRecord:
    [run] = read_sources(results)
    return run


def test_a_run_that_has_not_begun_and_one_without_configuration_are_problems(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "a", [])
    (folder / "config.json").unlink()
    assert only(tmp_path).problem == "damaged: config.json is missing"
    (folder / "status.json").unlink()
    assert only(tmp_path).problem == "not begun"


def test_a_run_that_says_it_is_running_is_as_its_lock_says(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "a", [])
    Record(folder).update_status("running")
    assert only(tmp_path).problem.startswith("interrupted: its process was killed")
    with Record(folder).locked():
        assert only(tmp_path).problem == "running"


def test_a_failed_run_is_a_problem_that_can_be_read(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "a", [point_row(1, 4, 0.9)])
    (folder / "status.json").write_text('{"state": "diverged", "reason": "at epoch 2"}')
    run = only(tmp_path)
    assert (run.problem, run.failed, len(run.points)) == ("diverged: at epoch 2", True, 1)


def test_copies_of_a_run_count_once_and_the_finished_one_counts(tmp_path: Path) -> None:
    for name in "abc":
        write_run(tmp_path, name, [point_row(1, 4, 0.9)], id="same")
    (tmp_path / "runs" / "a" / "status.json").write_text('{"state": "interrupted", "reason": "a signal"}')
    problems = {run.name: run.problem for run in read_sources(tmp_path)}
    copy = "the same run as b, which is counted once"
    assert problems == {"a": f"interrupted: a signal; {copy}", "b": "", "c": copy}


def test_odd_characters_are_shown_escaped_and_long_texts_cut(tmp_path: Path) -> None:
    write_run(
        tmp_path, "a\nb", [], model="\x00\ud800$x$\x1b[31m\u202e", **{"pruner.x": "y" * 10_000, "pruner.z": ["\n"]}
    )
    run = only(tmp_path)
    assert run.name == "a\\nb"
    assert run.config["model"] == "\\x00\\ud800$x$\\x1b[31m\\u202e"
    assert len(run.config["pruner.x"]) < 250
    assert run.config["pruner.z"] == '["\\n"]'
    (tmp_path / "runs" / "a\nb").rename(tmp_path / "runs" / os.fsdecode(b"\xff"))
    assert (only(tmp_path).name, only(tmp_path).link) == ("\\udcff", "%FF")


def test_long_texts_stay_different() -> None:
    assert printable("x" * 1000 + "a") != printable("x" * 1000 + "b")


def test_reading_changes_nothing(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "a", [])
    (folder / "config.json").write_text("{")
    (folder / "status.json").write_text("[1")
    before = {p: p.read_bytes() for p in folder.iterdir()}
    read_sources(tmp_path)
    assert {p: p.read_bytes() for p in folder.iterdir()} == before


def test_nothing_to_report_says_what_was_given_and_what_to_do(tmp_path: Path) -> None:
    results = tmp_path / "results"
    with pytest.raises(UserError, match=rf"cannot read {results}: No such file or directory; give the folder"):
        read_sources(results)
    results.mkdir()
    nothing = rf"no run has begun in {results}; .*: prunebench sweep digits --results {results}$"
    with pytest.raises(UserError, match=nothing):
        read_sources(results)
    (results / "runs").mkdir()
    with pytest.raises(UserError, match=nothing):
        read_sources(results)
    run = write_run(results, "a", [])
    with pytest.raises(UserError, match=rf"{run} is one run; give the results folder that it lies in, {results}$"):
        read_sources(run)


def test_a_run_in_two_folders_counts_once_and_is_a_copy(tmp_path: Path) -> None:
    for place in "ab":
        write_run(tmp_path / place, "mine", [point_row(1, 4, 0.9)])
    for sources in ((tmp_path / "a", tmp_path / "b"), (tmp_path / "a", tmp_path / "b", tmp_path / "a")):
        first, second = read_sources(*sources)
        assert (first.problem, first.source) == ("", str(tmp_path / "a"))
        assert second.problem == f"the same run as mine in {tmp_path / 'a'}, which is counted once"
        assert second.copy_of == str(tmp_path / "a")


def test_a_run_whose_numbers_differ_in_two_folders_says_so(tmp_path: Path) -> None:
    for place, top1 in (("a", 0.9), ("b", 0.8)):
        write_run(tmp_path / place, "mine", [point_row(1, 4, top1)])
    first, second = read_sources(tmp_path / "a", tmp_path / "b")
    assert first.points[0].top1 == 0.9
    assert second.problem == f"has the identity of mine in {tmp_path / 'a'} and other numbers, which is counted once"
    assert not second.copy_of


def test_of_a_run_in_two_folders_the_finished_one_counts(tmp_path: Path) -> None:
    for place in "ab":
        write_run(tmp_path / place, "mine", [point_row(1, 4, 0.9)])
    (tmp_path / "a" / "runs" / "mine" / "status.json").write_text('{"state": "interrupted", "reason": "a signal"}')
    first, second = read_sources(tmp_path / "a", tmp_path / "b")
    assert first.problem == f"interrupted: a signal; the same run as mine in {tmp_path / 'b'}, which is counted once"
    assert second.problem == ""


@pytest.mark.parametrize("file", ["points.jsonl", "epochs.jsonl"])
@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [lines[0].replace("0.9", "0.8", 1), *lines[1:]],
        lambda lines: lines[1:],
        lambda lines: [*lines[:1], *lines],
        lambda lines: lines[:-1],
        lambda lines: [],
    ],
)
def test_rows_that_are_not_what_was_written_are_damage(
    tmp_path: Path, file: str, change: Callable[[list[str]], list[str]]
) -> None:
    folder = write_run(tmp_path, "one", [])
    rows = Rows(folder / file)
    (folder / file).unlink()
    rows.append(*([point_row(n, 1 + n, 0.9) for n in range(3)] if file == "points.jsonl" else EPOCHS))
    (folder / "status.json").write_text(json.dumps({"state": "done", "rows": {file: rows.end}}))
    assert only(tmp_path).problem == ""
    lines = (folder / file).read_text().splitlines(keepends=True)
    (folder / file).write_text("".join(change(lines)))
    assert only(tmp_path).problem.startswith(f"damaged: {file}: ")


EPOCHS = [{"epoch": n, "round": 0, "val_top1": 0.9} for n in (1, 2, 3)]
