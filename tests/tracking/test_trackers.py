"""Trackers beside W&B: found by entry point, they mirror the record, and no error of theirs stops a run."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from benchmark.config.options import read_arguments, run_config
from benchmark.errors import UserError
from benchmark.records.record import Record
from benchmark.runs.execution import carry_out
from benchmark.tracking import trackers
from benchmark.tracking.trackers import load_tracker
from tests.tracking.mirrored import make_record, rows

QUICK = {"train.epochs": 2, "retrain.epochs": 1, "train_limit": 200, "device": "cpu", "wandb": "off"}


class Listener:
    """A tracker of another package; `fails` says in what."""

    fails: str = ""
    heard: list[Any]

    def __init__(self, record: Record) -> None:
        self._do("begin", record.folder.name)

    def show(self, row: dict[str, Any]) -> None:
        self._do("show", row)

    def finish(self, *, exit_code: int, summary: dict[str, Any], again: bool = False) -> None:
        self._do("finish", (exit_code, summary["state"], again))

    def _do(self, what: str, told: Any) -> None:
        if what == Listener.fails:
            raise OSError("no space")
        Listener.heard.append((what, told))


@pytest.fixture
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [EntryPoint("listener", f"{__name__}:Listener", trackers.GROUP)]
    entries += [EntryPoint("absent", "no_such_package.somewhere:Tracker", trackers.GROUP)]
    monkeypatch.setattr(trackers, "entry_points", lambda group: entries)
    monkeypatch.setattr(Listener, "fails", "")
    Listener.heard = []


@pytest.mark.usefixtures("_installed")
def test_an_installed_tracker_is_shown_every_row_of_the_record() -> None:
    outcome = carry_out(run_config({**QUICK, "pruner": "magnitude(rounds=1)", "trackers": "listener"}))
    record = Record(outcome.folder)
    kept = sorted([*record.read_rows("epochs.jsonl"), *record.read_rows("points.jsonl")], key=lambda r: r["log_step"])
    shown = [told for what, told in Listener.heard if what == "show"]
    assert shown == kept
    assert Listener.heard[0] == ("begin", outcome.folder.name)
    assert Listener.heard[-1] == ("finish", (0, "done", False))


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize("what", ["begin", "show", "finish"])
def test_a_tracker_that_fails_stops_no_run(
    what: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Listener, "fails", what)
    assert carry_out(run_config({**QUICK, "pruner": "dense", "trackers": "listener"})).state == "done"
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("listener: ")]
    assert said == ["listener: showing ended (OSError: no space); the local record is whole"]


@pytest.mark.usefixtures("_installed")
def test_a_tracker_that_is_unknown_or_cannot_be_imported_is_an_error_before_anything_is_written() -> None:
    with pytest.raises(UserError, match="unknown tracker 'listner', did you mean 'listener'"):
        carry_out(run_config({**QUICK, "trackers": "listner"}))
    with pytest.raises(UserError, match=r"tracker 'absent' cannot be imported: .*no_such_package"):
        carry_out(run_config({**QUICK, "trackers": ["listener", "absent"]}))
    assert not Path("results").exists()


@pytest.mark.parametrize("words", ["--trackers a,b", "--trackers a b", "--trackers a, b", "--trackers=a,b"])
def test_trackers_are_written_with_commas_or_spaces(words: str) -> None:
    assert run_config(read_arguments(words.split())).settings.trackers == ("a", "b")


@pytest.mark.parametrize("name", ["tensorboard", "trackio"])
def test_a_tracker_of_this_suite_is_found_by_its_name(name: str) -> None:
    pytest.importorskip(name)
    assert load_tracker(name).__module__ == f"benchmark.tracking.{name}"


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return make_record(tmp_path / "results", "one", "a" * 16)


def _show_twice(make: Any, record: Record) -> None:
    """As a run that is interrupted and goes on."""
    begun = make(record)
    for row in rows()[:3]:
        begun.show(row)
    begun.finish(exit_code=130, summary={"state": "interrupted", "reason": "stopped"}, again=True)
    again = make(record)
    for row in rows():
        again.show(row)
    again.finish(exit_code=0, summary={"state": "done", "reason": ""})


def test_tensorboard_has_the_series_once_after_an_interruption(record: Record) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from benchmark.tracking.tensorboard import TensorBoard

    _show_twice(TensorBoard, record)
    found = EventAccumulator(str(record.folder / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in found.Scalars("val_top1")] == [(1, 0.5), (2, 0.75), (3, 0.625)]
    assert [(e.step, e.value) for e in found.Scalars("accuracy/top1")] == [(1, 1.0)]
    assert [(e.step, e.value) for e in found.Scalars("accuracy/val_top1_pruned")] == [(1, 0.25)]
    assert found.Tags()["histograms"] == ["size/layer_density"]


def test_trackio_has_the_series_once_after_an_interruption(
    record: Record, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    from benchmark.tracking.trackio import Trackio

    monkeypatch.setattr("trackio.sqlite_storage.TRACKIO_DIR", tmp_path / "trackio")
    _show_twice(Trackio, record)
    logs = SQLiteStorage.get_logs("nnrelief-bench", "one")
    assert [row["val_top1"] for row in logs if "val_top1" in row] == [0.5, 0.75, 0.625]
    assert SQLiteStorage.get_runs("nnrelief-bench") == ["one"]
    assert capfd.readouterr().out == ""
