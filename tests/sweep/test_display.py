"""What a sweep shows while it works, and the log that it leaves."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmark.config.options import run_config
from benchmark.config.run import RunConfig
from benchmark.records.record import Record
from benchmark.runs.execution import Outcome
from benchmark.sweep.costs import Pace, costs_of
from benchmark.sweep.display import Board, Display, last_epoch
from benchmark.sweep.scheduler import execute, print_costs
from benchmark.sweep.workers import Alone

QUICK = {"train.epochs": 2, "retrain.epochs": 1, "train_limit": 200, "wandb": "off", "device": "cpu"}


def _run(results: Path, pruner: str, **options: Any) -> RunConfig:
    return run_config({**QUICK, "pruner": pruner, "results": str(results), **options})


def _write_epoch(folder: Path, epoch: int, more: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    row = {"epoch": epoch, "round": 1, "val_top1": 0.875, "seconds": 2.0, "chain": "0"}
    with (folder / "epochs.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n" + more)


def _shown(board: Board, runs: list[RunConfig]) -> str:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(board.shown(runs))
    return captured.get()


def test_a_line_a_run_says_how_far_it_is_and_the_last_one_what_is_left(tmp_path: Path) -> None:
    runs = [_run(tmp_path, f"magnitude(rounds=2, sparsity={s})") for s in (0.5, 0.75)]
    board = Board(runs)
    assert "begins" in _shown(board, runs[:1])
    _write_epoch(tmp_path / "dense" / runs[0].dense_id, 1)  # the dense training that the first one makes
    assert "1/4 epochs round 1  validation top1 0.8750" in " ".join(_shown(board, runs[:1]).split(" "))
    _write_epoch(tmp_path / "runs" / runs[0].name, 3, more='{"epoch": 4, "rou')  # a row that is being written
    board._began = time.monotonic() - 30  # three of four epochs, and two more for the other run
    shown = _shown(board, runs[:1])
    assert "3/4 epochs" in shown
    assert "0/2 runs" in shown
    assert "about 0:00:30 left" in shown


def test_a_run_that_does_not_start_from_the_dense_training_has_not_begun_with_it(tmp_path: Path) -> None:
    run = _run(tmp_path, "snip")
    _write_epoch(tmp_path / "dense" / run.dense_id, 2)
    assert last_epoch(run) is None


def test_a_damaged_file_of_epochs_shows_nothing_and_ends_nothing(tmp_path: Path) -> None:
    run = _run(tmp_path, "snip")
    folder = tmp_path / "runs" / run.name
    folder.mkdir(parents=True)
    for content in (b"", b"\n\n", b"[1]\n", b"{}\n", b"\xff\xfe\n", b"{\n"):
        (folder / "epochs.jsonl").write_bytes(content)
        assert last_epoch(run) is None


def test_each_run_that_ends_is_a_line_of_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [_run(tmp_path / "new", f"snip(sparsity={s})") for s in (0.5, 0.75)]
    with Display(runs, Alone()) as display:
        display.ended(runs[0], Outcome("done", "", tmp_path))
        display.ended(runs[1], Outcome("failed", "why", tmp_path))
    ends = [f"{runs[0].name}  done", f"{runs[1].name}  failed: why"]
    assert capsys.readouterr().out.splitlines() == [f"[1/2] {ends[0]}", f"[2/2] {ends[1]}"]
    log = (tmp_path / "new" / "sweep.log").read_text().splitlines()
    assert [line.partition("  ")[2] for line in log] == ends


def test_a_sweep_on_a_terminal_draws_and_clears_its_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert execute([_run(tmp_path, "snip")], lambda runs: Alone()) == 0
    found = capsys.readouterr()
    assert "[1/1]" in found.out
    assert "the whole sweep" in found.err


def test_hours_are_judged_by_what_this_machine_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [_run(tmp_path, "magnitude(rounds=3)"), _run(tmp_path, "snip", seed=1)]
    print_costs(runs)
    assert "hours" not in capsys.readouterr().out
    assert Pace(runs).seconds_of_epoch(runs[1]) is None
    assert execute(runs[:1], lambda runs: Alone()) == 0
    pace = Pace(runs)
    same, larger = pace.seconds_of_epoch(runs[1]), pace.seconds_of_epoch(_run(tmp_path, "snip", train_limit=400))
    assert 0 < (same or 0) < (larger or 0)
    capsys.readouterr()
    print_costs(runs)
    assert "hours of training on this machine" in capsys.readouterr().out


def test_no_hours_are_judged_by_another_device_or_other_threads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _run(tmp_path, "magnitude(rounds=1)")
    assert execute([run], lambda runs: Alone()) == 0
    other, threaded = _run(tmp_path, "snip"), _run(tmp_path, "snip", threads=2)
    assert Pace([run]).seconds_of_epoch(other)
    assert Pace([run]).seconds_of_epoch(threaded) is None
    dense = Record(tmp_path / "dense" / run.dense_id)
    about = dense.read_json("environment.json")
    dense.write_json("environment.json", {**about, "hardware": {**about["hardware"], "device": "a GPU"}})
    assert Pace([run]).seconds_of_epoch(other) is None
    capsys.readouterr()
    print_costs([other])
    assert "hours" not in capsys.readouterr().out


def test_a_plan_that_cannot_be_carried_out_costs_nothing(tmp_path: Path) -> None:
    impossible = _run(tmp_path, "early_magnitude(step=1000)")
    assert costs_of([impossible])[0].epochs == 0
