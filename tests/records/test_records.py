"""Records: whole files or none, locks that die with their process, damage that is named and mended."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from threading import Timer

import pytest
import torch

from benchmark.errors import UserError
from benchmark.records.files import Damaged, read_json, write_atomically, write_json
from benchmark.records.record import Record, open_record
from benchmark.records.rows import Rows, read_rows


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
    assert record.status["state"] == "done"
    assert record.status["started"] == "then"
    assert record.status["rows"]["epochs.jsonl"] == record.epochs.end
    assert record.epochs.count == 1


def _finished(folder: Path) -> Record:
    record = _record(folder)
    for name in ("config.json", "environment.json"):
        record.write_json(name, {"a": 1})
    for name in ("epochs.jsonl", "points.jsonl"):
        record.write_rows(name, [{"a": i} for i in range(4)])
    record.finish({"module": {"w": torch.ones(30)}})
    return record


FINISHED = ("config.json", "environment.json", "epochs.jsonl", "points.jsonl", "network.pt")


@pytest.mark.parametrize("name", FINISHED)
def test_a_run_is_done_only_while_all_of_its_record_is_as_it_was_written(name: str, tmp_path: Path) -> None:
    record = _finished(tmp_path)
    assert record.done
    path = record.folder / name
    content = path.read_bytes()
    path.write_bytes(content[:-4])
    assert record.standing == ("interrupted", f"{name} is damaged; run it again to make it anew")
    path.unlink()
    assert record.standing == ("interrupted", f"{name} is missing; run it again to make it anew")
    path.write_bytes(content)
    assert record.done


@pytest.mark.parametrize("name", [*FINISHED, "status.json"])
def test_a_flipped_bit_is_noticed_wherever_it_is(name: str, tmp_path: Path) -> None:
    record = _finished(tmp_path)
    path = record.folder / name
    content = path.read_bytes()
    for place in range(0, len(content), max(1, len(content) // 400)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        assert not record.done, f"bit {place % 8} of byte {place}"
    path.write_bytes(content)
    assert record.done


TAMPERED = {
    "emptied": lambda lines: [],
    "cut by a line": lambda lines: lines[:-1],
    "cut at the front": lambda lines: lines[1:],
    "doubled": lambda lines: [*lines, lines[-1]],
    "edited": lambda lines: [lines[0], lines[1].replace(b"1", b"7", 1), *lines[2:]],
    "swapped": lambda lines: [lines[1], lines[0], *lines[2:]],
}


@pytest.mark.parametrize("name", ["epochs.jsonl", "points.jsonl"])
@pytest.mark.parametrize("how", TAMPERED)
def test_rows_that_were_tampered_with_are_noticed(how: str, name: str, tmp_path: Path) -> None:
    record = _finished(tmp_path)
    path = record.folder / name
    path.write_bytes(b"".join(TAMPERED[how](path.read_bytes().splitlines(keepends=True))))
    assert record.damaged == [path]


def test_rows_go_back_to_where_a_checkpoint_stands_and_on_as_if_nothing_had_come_after(tmp_path: Path) -> None:
    rows, straight = Rows(tmp_path / "a.jsonl"), Rows(tmp_path / "b.jsonl")
    rows.append({"a": 1}, {"a": 2})
    kept = rows.end
    rows.append({"a": 9})
    with rows.path.open("ab") as file:
        file.write(b'{"a": 3, "cha')  # torn by a kill
    again = Rows(rows.path)
    assert again.go_back(kept) == [{"a": 1}, {"a": 2}]
    again.append({"a": 3})
    straight.append(*({"a": i} for i in (1, 2, 3)))
    assert rows.path.read_bytes() == straight.path.read_bytes()
    assert read_rows(rows.path, straight.end) == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_rows_changed_before_a_checkpoint_are_set_aside_and_an_earlier_one_goes_on_from_the_sound_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = Rows(tmp_path / "a.jsonl")
    rows.append({"a": 1})
    earlier = rows.end
    rows.append({"a": 2}, {"a": 3})
    rows.path.write_bytes(rows.path.read_bytes().replace(b'"a": 2', b'"a": 5'))
    again = Rows(rows.path)
    with pytest.raises(Damaged, match="3 rows were written, 1 are sound"):
        again.go_back(rows.end)
    assert again.go_back(earlier) == [{"a": 1}]
    assert b'"a": 5' in (tmp_path / "a.jsonl.corrupt").read_bytes()
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_row_costs_the_same_after_ten_thousand_others(tmp_path: Path) -> None:
    """Counted, not timed: what is written for a row is its line."""
    rows = Rows(tmp_path / "a.jsonl")
    sizes = []
    for _ in range(3):
        before = rows.path.stat().st_size if rows.path.exists() else 0
        rows.append({"a": 1})
        sizes.append(rows.path.stat().st_size - before)
        rows.append(*({"a": i} for i in range(5000)))
    assert len(set(sizes)) == 1
    assert not any(isinstance(value, list) and len(value) > 2 for value in vars(rows).values())


def test_rows_are_never_written_through_a_planted_link(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / "a.jsonl").symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        Rows(tmp_path / "a.jsonl").append({"a": 1})
    write_json(tmp_path / "a.jsonl", {"a": 1})
    assert other.read_text() == "mine"
    assert not (tmp_path / "a.jsonl").is_symlink()


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ENOMEM, errno.ESTALE])
def test_an_error_of_the_moment_sets_nothing_aside(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = _finished(tmp_path)
    before = sorted(path.name for path in record.folder.iterdir())

    def fail(self: Path) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "read_bytes", fail)
    for read in (lambda: record.load("network.pt"), lambda: record.read_rows("epochs.jsonl"), lambda: record.standing):
        with pytest.raises(OSError, match=re.escape(os.strerror(number))):
            read()
    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        record.set_aside_damaged()
    assert sorted(path.name for path in record.folder.iterdir()) == before


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_file_system_without_locks_is_one_line_that_says_what_to_do(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", fail)
    with (
        pytest.raises(UserError, match=r"file system without locks .* choose another folder with --results"),
        _record(tmp_path).locked(),
    ):
        pass


def test_a_run_whose_process_died_is_interrupted_and_one_that_is_held_is_running(tmp_path: Path) -> None:
    record = _record(tmp_path)
    assert record.standing == ("missing", "")
    record.update_status("running")
    assert record.standing[0] == "interrupted"
    with record.locked():
        assert record.standing == ("running", "")


def test_a_damaged_checkpoint_is_named_and_set_aside_and_the_one_before_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = _record(tmp_path)
    record.save_checkpoint({"step": 1, "w": torch.ones(3)})
    record.save_checkpoint({"step": 2, "w": torch.ones(3)})
    path = record.folder / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:100])
    assert record.load("checkpoint.pt") is None
    loaded = record.load("previous-checkpoint.pt")
    assert loaded is not None
    assert loaded["step"] == 1
    assert (record.folder / "checkpoint.pt.corrupt").exists()
    assert "checkpoint.pt is damaged" in capsys.readouterr().err


def test_saved_tensors_load_without_this_package_too(tmp_path: Path) -> None:
    record = _record(tmp_path)
    record.save("network.pt", {"w": torch.arange(3)})
    assert torch.equal(torch.load(record.folder / "network.pt", weights_only=True)["w"], torch.arange(3))


def test_no_checkpoint_at_all_is_none(tmp_path: Path) -> None:
    assert _record(tmp_path).load("checkpoint.pt") is None


def test_a_truncated_status_reads_as_not_begun_and_is_set_aside_by_whoever_holds_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = _record(tmp_path)
    record.update_status("done")
    path = record.folder / "status.json"
    path.write_text(path.read_text()[:10])
    assert record.status == {}
    assert record.standing == ("interrupted", "status.json is damaged; run it again to make it anew")
    assert path.exists()  # a reader changes nothing
    record.set_aside_damaged()
    assert path.with_name("status.json.corrupt").exists()
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("content", [[1], {"a": 1}, {"a": 1, "digest": 3}])
def test_a_json_file_that_is_not_an_object_with_its_digest_is_damaged(content: object, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(content))
    with pytest.raises(Damaged, match=r"config\.json is damaged"):
        read_json(path)


def test_only_one_process_holds_a_run_and_a_killed_one_holds_it_no_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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
        Timer(1, other.kill).start()
        record.update_status("running")
        with record.locked() as mine:
            assert mine
        other.wait()
    line = f"waiting for runs/a, which process {os.getpid()} on {socket.gethostname()} works on"
    assert capsys.readouterr().err.startswith(line)


def test_half_written_files_of_a_killed_process_are_cleared(tmp_path: Path) -> None:
    record = _record(tmp_path)
    (record.folder / "checkpoint.pt.99.part").write_bytes(b"half")
    record.clear_litter()
    assert not list(record.folder.glob("*.part"))


def test_a_results_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(UserError, match=r"cannot write results to .*results: .*choose another folder with --results"):
        open_record(tmp_path / "results", "runs", "a")
