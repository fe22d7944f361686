"""A report is put in its place whole or not at all, and never in the place of anything else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.errors import UserError
from reports.folder import MARKER, checked_place, write_report

OLD = {"index.html": b"old", "one/a.csv": b"old"}
NEW = {"index.html": b"new", "two/b.csv": b"new"}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder, below the folder that the test runs in, with a run and a dense training."""
    root = tmp_path / "results"
    for kind in ("runs", "dense"):
        (root / kind / "a").mkdir(parents=True)
        (root / kind / "a" / "config.json").write_text("{}")
    return root


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def report(files: dict[str, bytes]) -> dict[str, bytes]:
    return {MARKER: (json.dumps(sorted(files), indent=0) + "\n").encode(), **files}


def test_a_report_replaces_the_one_before_and_leaves_nothing_else(results: Path) -> None:
    out = results / "report"
    write_report(out, OLD, results)
    assert content(out) == report(OLD)
    (out / ".DS_Store").write_text("left by somebody who looked")
    write_report(out, NEW, results)
    assert content(out) == report(NEW)
    assert sorted(p.name for p in results.iterdir()) == ["dense", "report", "runs"]


def link(name: str, target: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).symlink_to(target)


@pytest.mark.parametrize(
    ("out", "prepare", "why"),
    [
        ("results", None, "is or holds"),
        ("results/../results/", None, "is or holds"),
        ("results/runs", None, "is or holds"),
        ("results/dense", None, "is or holds"),
        ("results/runs/a", None, "among the records"),
        ("results/runs/new/report", None, "among the records"),
        ("results/dense/new", None, "among the records"),
        (".", None, "is or holds"),
        ("", None, "is or holds"),
        ("..", None, "is or holds"),
        ("/", None, "is or holds"),
        ("home", None, "is or holds"),
        (
            "thesis",
            lambda f: (f / "thesis" / "deep").mkdir(parents=True) or (f / "thesis/deep/a").write_text(""),
            "empty",
        ),
        ("file", lambda f: (f / "file").write_text("mine"), "is no folder"),
        ("pipe", lambda f: os.mkfifo(f / "pipe"), "is no folder"),
        ("link", link("link", "results"), "is or holds"),
        ("link", link("link", "results/runs"), "is or holds"),
        ("link/new", link("link", "results/runs"), "among the records"),
        ("link", link("link", "/"), "is or holds"),
        ("loop", link("loop", "loop"), "loop"),
    ],
)
def test_what_is_no_report_is_refused_in_one_line_and_kept(
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    out: str,
    prepare: Callable[[Path], object] | None,
    why: str,
) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    if prepare is not None:
        prepare(tmp_path)
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    for call in (lambda: checked_place(Path(out), results), lambda: write_report(Path(out), NEW, results)):
        with pytest.raises(UserError, match=r"no report is written to .*choose a new folder with --out") as caught:
            call()
        assert why in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
    assert sorted(str(p) for p in tmp_path.rglob("*")) == before


def test_records_that_lie_elsewhere_are_as_safe(results: Path, tmp_path: Path) -> None:
    (results / "runs").rename(tmp_path / "disk")
    (results / "runs").symlink_to(tmp_path / "disk")
    for out in ("disk", "disk/new", "results/runs/new"):
        with pytest.raises(UserError):
            write_report(Path(out), NEW, results)
    assert sorted(p.name for p in (tmp_path / "disk").iterdir()) == ["a"]


def test_a_report_with_something_of_the_users_in_it_is_kept(results: Path) -> None:
    out = results / "report"
    write_report(out, OLD, results)
    (out / "one" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"it holds one/notes.txt, which is no part of the report"):
        write_report(out, NEW, results)
    (out / "one" / "notes.txt").unlink()
    (out / "one" / "elsewhere").symlink_to(results)
    with pytest.raises(UserError, match="it holds one/elsewhere"):
        write_report(out, NEW, results)
    assert (results / "runs" / "a" / "config.json").exists()


def test_a_list_of_files_that_lie_elsewhere_removes_none_of_them(results: Path) -> None:
    out = results / "report"
    write_report(out, OLD, results)
    (out / MARKER).write_text(json.dumps([*OLD, "../runs/a/config.json", "/etc/hostname", 1]))
    write_report(out, NEW, results)
    assert content(out) == report(NEW)
    assert (results / "runs" / "a" / "config.json").exists()


@pytest.mark.parametrize("link", ["link", "deep/link"])
def test_a_link_to_a_new_or_empty_folder_stays_and_the_report_is_behind_it(
    results: Path, tmp_path: Path, link: str
) -> None:
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(tmp_path / "behind")
    for files in (OLD, NEW):
        write_report(Path(link), files, results)
        assert (tmp_path / link).is_symlink()
        assert content(tmp_path / "behind") == report(files)


def test_an_empty_folder_is_a_place_for_a_report(results: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_report(Path("empty"), NEW, results)
    assert content(tmp_path / "empty") == report(NEW)


@pytest.mark.parametrize("broken", ["write_bytes", "rename", "mkdir"])
def test_where_writing_fails_the_report_before_stays(
    results: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    out = results / "report"
    write_report(out, OLD, results)
    whole = getattr(Path, broken)

    def fails(self: Path, *words: object, **options: object) -> object:
        if self.name.endswith(".new") or self.name == "b.csv":
            raise OSError(28, "No space left on device")
        return whole(self, *words, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, broken, fails)
        with pytest.raises(UserError, match=r"cannot write the report to .*: No space left on device; choose another"):
            write_report(out, NEW, results)
    assert content(out) == report(OLD)
    assert sorted(p.name for p in results.iterdir()) == ["dense", "report", "runs"]


KILLED = """
import os, sys
from pathlib import Path
from reports.folder import write_report
from tests.reports.test_folder import NEW
left = int(sys.argv[2])
def count(event, words):
    global left
    if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir") and left >= 0:
        left -= 1
        if left < 0:
            os._exit(9)
sys.addaudithook(count)
write_report(Path(sys.argv[1]) / "report", NEW, Path(sys.argv[1]))
os._exit(0)
"""


def test_a_report_killed_at_any_event_loses_nothing_and_the_next_one_clears_up(results: Path) -> None:
    out = results / "report"
    root = str(Path(__file__).parents[2])
    killed = 0
    while True:
        write_report(out, OLD, results)
        child = [sys.executable, "-c", KILLED, str(results), str(killed)]
        status = subprocess.run(child, env={**os.environ, "PYTHONPATH": root}, check=False).returncode
        if status == 0:
            break
        assert status == 9
        there = [content(f) for name in ("report", ".report.old") if (f := results / name).exists()]
        assert report(OLD) in there or content(out) == report(NEW)
        killed += 1
        write_report(out, NEW, results)
        assert content(out) == report(NEW)
        assert sorted(p.name for p in results.iterdir()) == ["dense", "report", "runs"]
    assert killed > 10


def test_what_has_the_name_of_a_killed_reports_files_and_is_none_is_kept(results: Path) -> None:
    (results / ".report.new").mkdir()
    (results / ".report.new" / "mine").write_text("")
    with pytest.raises(UserError, match=r"\.report\.new is in the way"):
        write_report(results / "report", NEW, results)
    assert (results / ".report.new" / "mine").exists()
