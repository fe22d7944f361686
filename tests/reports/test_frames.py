"""Records as tables of pandas: each column is explained, each row can be found again."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import pandas as pd
import pytest

from benchmark.errors import UserError
from benchmark.records import METRICS
from benchmark.records.schema import EpochRow, FiringRow, LayerRow, PointRow
from reports import load
from reports.records import FILES
from reports.schema import Epoch, Layer, LayerFiring, Point
from tests.reports.made_up import NAME, by, point_row, write_results, write_run

UNREAD = ("flops_unsupported", "firing_sha256")


def test_points_have_their_setting_method_and_what_dense_says_of_them(tmp_path: Path) -> None:
    write_results(tmp_path)
    points = load(tmp_path).points
    assert len(points) == 2 + 2 * 4 + 4
    assert set(points["setting"]) == {NAME}
    row = points[(points["method"] == "magnitude") & (points["seed"] == 1) & (points["round"] == 2)].iloc[0]
    assert row["top1"] == pytest.approx(0.973)
    assert row["drop"] == pytest.approx(0.016)
    assert row["budget"] == 3
    assert row["compression_params"] == 16
    assert set(points.loc[points["method"] == "snip", "target"]) == {0.5, 0.9}


def test_runs_and_epochs_join_with_points_by_the_name_of_the_run(tmp_path: Path) -> None:
    write_results(tmp_path)
    found = load(tmp_path)
    assert len(found.runs) == 8
    assert len(found.epochs) == 8
    joined = found.points.merge(found.runs[["run", "train.optimizer"]], on="run")
    assert len(joined) == len(found.points)
    assert set(joined["train.optimizer"]) == {"adam"}


def test_what_does_not_count_is_a_row_with_the_reason_and_its_points_are_marked(tmp_path: Path) -> None:
    write_results(tmp_path)
    folder = write_run(tmp_path, "stopped", [point_row(0, 1, 0.5)], seed=7)
    (folder / "status.json").write_text('{"state": "interrupted", "reason": "a signal"}')
    (write_run(tmp_path, "broken", []) / "config.json").write_text("{")
    found = load(tmp_path)
    problems = by(found.runs, "run")["problem"]
    assert problems["stopped"] == "interrupted: a signal"
    assert problems["broken"].startswith("damaged: config.json")
    assert by(found.points, "run").loc["stopped", "counted"] == False  # noqa: E712
    assert "broken" not in set(found.points["run"])


def test_every_column_says_what_it_is_and_numbers_their_unit(tmp_path: Path) -> None:
    write_results(tmp_path)
    found = load(tmp_path)
    columns = by(found.columns, "table", "column")
    for table in ("runs", "epochs", "points"):
        assert list(columns.loc[table].index) == list(getattr(found, table).columns)
    assert columns.loc[("points", "train_seconds"), "unit"] == "s"
    assert columns.loc[("points", "top1"), "about"] == METRICS["top1"].about
    assert (columns["about"] != "").all()


def test_measured_speed_ups_are_columns_where_a_record_has_them(tmp_path: Path) -> None:
    write_results(tmp_path)
    assert not [name for name in load(tmp_path).points if str(name).startswith("speedup_measured")]
    write_run(tmp_path, "new", [point_row(1, 4, 0.9, speedup_measured_torch=1.5)], seed=9)
    points = by(load(tmp_path).points, "run")
    assert points.loc["new", "speedup_measured_torch"] == 1.5
    assert points["speedup_measured_torch"].notna().sum() == 1


@pytest.mark.parametrize(
    ("read", "written", "left_out"),
    [
        (Point, PointRow, {"log_step", "latency", "bytes_sparse_format", "structural_note", *UNREAD}),
        (Epoch, EpochRow, {"log_step"}),
        (Layer, LayerRow, {"flops_dense"}),
        (LayerFiring, FiringRow, {"mean_activation"}),
    ],
)
def test_what_is_read_of_a_row_is_what_is_written(read: type, written: type, left_out: set[str]) -> None:
    names = {f.name for f in fields(read)} - {"measured"}  # which reads all that begin with speedup_measured
    rows = get_type_hints(written)
    assert names == {n for n in rows if not n.startswith("speedup_measured")} - left_out
    for name, kind in get_type_hints(read).items():
        if name in rows and type(None) in get_args(rows[name]):
            assert type(None) in get_args(kind), f"{name} may be None in a record"


def test_a_notebook_loads_records_without_torch(tmp_path: Path) -> None:
    write_results(tmp_path)
    code = f"import sys; from reports import load; load({str(tmp_path)!r}).points; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_some_methods_stand_beside_dense(tmp_path: Path) -> None:
    write_results(tmp_path)
    write_run(tmp_path, "other", [point_row(1, 4, 0.9)], pruner="random")
    found = load(tmp_path).only("snip", "random")
    assert set(found.runs["method"]) == {"dense", "snip", "random"}
    assert set(found.settings[0].methods) == {"snip", "random"}
    with pytest.raises(UserError, match=r"unknown method 'snpi', did you mean 'snip'"):
        load(tmp_path).only("snip", "snpi")


def test_runs_on_wandb_are_read_as_those_of_a_folder_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_results(tmp_path)
    found = []
    for folder in (tmp_path / "runs").iterdir():
        files = {name: json.loads((folder / name).read_text()) for name in FILES if name.endswith(".json")}
        rows = {what: (folder / f"{what}.jsonl").read_text().splitlines() for what in ("epochs", "points")}
        found.append({**files, **{what: list(map(json.loads, lines)) for what, lines in rows.items()}})
    monkeypatch.setattr("benchmark.tracking.read_runs", lambda source: found if source == "me/mine" else [])
    here, there = load(tmp_path), load("wandb:me/mine")
    pd.testing.assert_frame_equal(here.points, there.points)
    pd.testing.assert_frame_equal(here.epochs, there.epochs)
    assert set(there.runs["source"]) == {"wandb:me/mine"}
    both = load(tmp_path, "wandb:me/mine")
    assert len(both.points) == len(here.points)
    with pytest.raises(UserError, match="W&B has no run of this suite in me/other"):
        load("wandb:me/other")
