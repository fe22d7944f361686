"""W&B that is away, refuses or breaks: no run stops, and what is missing is brought later."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.records.record import Record
from benchmark.tracking.client import release
from benchmark.tracking.mirror import mirror_records
from tests.tracking.mirrored import begin, make_record, rows, show, start, steps, wait_until
from tests.tracking.wandb_server import WandbServer

pytest_plugins = ["tests.tracking.mirror_fixtures"]


@pytest.mark.parametrize("away", ["refuses connections", "never answers"])
def test_where_the_server_is_away_at_the_start_the_run_is_offline(
    away: str, server: WandbServer, record: Record, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    server.stop() if away == "refuses connections" else server.silent.set()
    begun = time.monotonic()
    show(record, "online")
    assert time.monotonic() - begun < 30
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("W&B: mirrored offline (")
    assert "; bring it later with: wandb sync " in said.err
    assert [folder.name[:12] for folder in record.folder.glob("wandb/*run-*")] == ["offline-run-"]


@pytest.mark.parametrize("away", ["refuses connections", "never answers"])
def test_a_run_survives_the_death_of_the_server_and_is_brought_later(
    away: str, server: WandbServer, record: Record, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "1")
    process = start(record, "auto", 3)
    wait_until(lambda: "a" * 16 in server.runs and len(steps(server)) == 3)
    server.stop() if away == "refuses connections" else server.silent.set()
    begun = time.monotonic()
    _, said = process.communicate("end\n")
    assert process.returncode == 0
    assert time.monotonic() - begun < 30
    assert said.splitlines()[1:] == [
        "W&B: mirroring ended (Timed out finishing run.); the local record is whole, "
        f"bring it later with: prunebench mirror {record.folder}"
    ]
    if away == "refuses connections":
        server.start()
    server.silent.clear()
    assert list(mirror_records(record.folder, project="p")) == ["one: done"]
    assert steps(server) == [0, 1, 2, 3, 4]
    assert server.runs["a" * 16].exit_code == 0


def test_rows_that_the_service_refuses_in_the_middle_of_a_run_are_found_out_and_brought_later(
    server: WandbServer, record: Record, capfd: pytest.CaptureFixture[str]
) -> None:
    mirror = begin(record.folder)
    for row in rows()[:3]:
        mirror.show(row)
    wait_until(lambda: "a" * 16 in server.runs and len(steps(server)) == 3)
    server.refusing.set()
    mirror.show(rows()[3])
    wait_until(lambda: server.refused > 0)
    server.refusing.clear()
    mirror.show(rows()[4])
    mirror.finish(exit_code=0, summary={})
    (line,) = capfd.readouterr().err.splitlines()[1:]
    assert line == (
        "W&B: mirroring ended (of rows 0 to 4, those after 2 did not arrive); the local record is whole, "
        f"bring it later with: prunebench mirror {record.folder}"
    )
    assert list(mirror_records(record.folder, project="p")) == ["one: done"]
    assert steps(server) == [0, 1, 2, 3, 4]
    assert server.runs["a" * 16].exit_code == 0


@pytest.mark.parametrize("away", ["at the start", "in the middle"])
def test_mirroring_many_runs_stops_the_first_time_that_the_service_does_not_answer(
    away: str,
    server: WandbServer,
    record: Record,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    results = tmp_path / "results"
    for letter in "bcd":
        make_record(results, f"one-{letter}", letter * 16)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "1")
    lines = mirror_records(results, project="p")
    assert next(lines) == "one: done"
    capfd.readouterr()
    if away == "at the start":
        server.stop()
    else:
        server.refusing.set()
    with pytest.raises(UserError) as caught:
        list(lines)
    message = str(caught.value)
    assert "; 3 of 4 runs are left, go on with: prunebench mirror " in message
    assert "\n" not in message
    said = [line for line in capfd.readouterr().err.splitlines() if "mirrored to" not in line]
    assert said == []
    assert not list(results.rglob("offline-run-*"))
    server.refusing.clear()
    if away == "at the start":
        server.start()
    assert list(mirror_records(results, project="p")) == ["one: done", *(f"one-{letter}: done" for letter in "bcd")]
    assert all(steps(server, letter * 16) == [0, 1, 2, 3, 4] for letter in "abcd")


def test_an_error_of_the_client_ends_the_mirror_and_not_the_run(
    server: WandbServer, record: Record, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import wandb

    def fail(*args: object, **kwargs: object) -> None:
        raise wandb.Error("something\nbroke")

    monkeypatch.setattr(wandb.Run, "log", fail)
    show(record)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("W&B: mirroring ended (broke); the local record is whole")
    assert server.runs["a" * 16].exit_code == 1


@pytest.mark.skipif(sys.platform != "linux", reason="finds the service's process in /proc")
def test_the_death_of_the_clients_own_service_ends_the_mirror_and_not_the_run(
    server: WandbServer, record: Record
) -> None:
    process = start(record, "auto", 3)
    assert process.stdout
    assert process.stdout.readline() == "logged\n"
    kill_children(process.pid)
    begun = time.monotonic()
    _, said = process.communicate("end\n")
    assert process.returncode == 0
    assert time.monotonic() - begun < 30
    assert [line for line in said.splitlines() if line.startswith("W&B: mirroring ended")]
    assert len([line for line in said.splitlines() if line.startswith("W&B")]) == 2  # the client may say more


def test_a_client_that_cannot_begin_at_all_stops_no_run(
    record: Record, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import wandb

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(wandb, "init", fail)
    show(record)
    assert capfd.readouterr().err.startswith("W&B: not mirrored (no space left); the local record is whole")


def test_a_client_that_does_not_end_holds_up_nothing(wandb_client: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    forever = threading.Event()
    monkeypatch.setattr(wandb, "teardown", forever.wait)
    begun = time.monotonic()
    release()
    assert time.monotonic() - begun < 10
    forever.set()


def kill_children(pid: int) -> None:
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)
