"""Records: whole files or none, locks that die with their process, damage that is named and mended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmark.errors import UserError
from benchmark.records.files import read_json, write_atomically
from benchmark.records.record import Record, open_record


def _record(folder: Path) -> Record:
    return open_record(folder, "runs", "a")


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_text("old")

    def half(file: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_atomically(path, half)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["status.json"]


def test_rows_and_status_come_back(tmp_path: Path) -> None:
    record = _record(tmp_path)
    record.write_rows("epochs.jsonl", [{"epoch": 1, "val_top1": 0.5}])
    record.update_status("running", started="then")
    record.update_status("done")
    assert record.read_rows("epochs.jsonl") == [{"epoch": 1, "val_top1": 0.5}]
    assert record.status == {"state": "done", "reason": "", "started": "then"}


def test_a_run_is_done_only_while_all_of_its_record_can_be_read(tmp_path: Path) -> None:
    record = _record(tmp_path)
    for name in ("config.json", "environment.json"):
        record.write_json(name, {"a": 1})
    for name in ("epochs.jsonl", "points.jsonl"):
        record.write_rows(name, [{"a": 1}, {"a": 2}])
    record.update_status("done")
    assert record.done
    points = record.folder / "points.jsonl"
    points.write_text(points.read_text()[:-4])
    assert not record.done
    assert record.standing == ("interrupted", "points.jsonl is damaged; run it again to make it anew")
    record.set_aside_damaged()
    assert (record.folder / "points.jsonl.corrupt").exists()
    assert not points.exists()
    assert not record.done


def test_a_run_whose_process_died_is_interrupted_and_one_that_is_held_is_running(tmp_path: Path) -> None:
    record = _record(tmp_path)
    assert record.standing == ("missing", "")
    record.update_status("running")
    assert record.standing[0] == "interrupted"
    with record.locked():
        assert record.standing == ("running", "")


def test_a_damaged_checkpoint_is_named_set_aside_and_the_one_before_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = _record(tmp_path)
    record.save_checkpoint({"step": 1, "w": torch.ones(3)})
    record.save_checkpoint({"step": 2, "w": torch.ones(3)})
    path = record.folder / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:100])
    loaded = record.load("checkpoint.pt")
    assert loaded is not None
    assert loaded["step"] == 1
    assert (record.folder / "checkpoint.pt.corrupt").exists()
    assert "checkpoint.pt is damaged" in capsys.readouterr().err


def test_no_checkpoint_at_all_is_none(tmp_path: Path) -> None:
    assert _record(tmp_path).load("checkpoint.pt") is None


def test_a_truncated_status_is_set_aside_and_reads_as_not_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = _record(tmp_path)
    record.update_status("done")
    path = record.folder / "status.json"
    path.write_text(path.read_text()[:10])
    assert record.status == {}
    assert path.with_name("status.json.corrupt").exists()
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_json_file_that_is_not_an_object_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps([1]))
    assert read_json(path) == {}


def test_only_one_process_holds_a_run_and_a_killed_one_holds_it_no_more(tmp_path: Path) -> None:
    record = _record(tmp_path)
    code = (
        "import sys, time; from pathlib import Path; from benchmark.records import Record\n"
        f"with Record(Path({str(record.folder)!r})).locked(): print('held', flush=True); time.sleep(60)"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with record.locked(wait=False) as mine:
            assert not mine
        other.kill()
        other.wait()
    with record.locked(wait=False) as mine:
        assert mine


def test_half_written_files_of_a_killed_process_are_cleared(tmp_path: Path) -> None:
    record = _record(tmp_path)
    (record.folder / "checkpoint.pt.99.part").write_bytes(b"half")
    record.clear_litter()
    assert not list(record.folder.glob("*.part"))


def test_a_results_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(UserError, match=r"cannot write results to .*results: .*choose another folder with --results"):
        open_record(tmp_path / "results", "runs", "a")
