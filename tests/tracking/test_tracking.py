"""The W&B mirror, with the real client and a server on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.records.record import Record
from benchmark.tracking.client import mark_as_brought
from benchmark.tracking.mirror import check_mirror, mirror_records
from benchmark.tracking.reader import read_runs
from tests.tracking.mirrored import CODE, OPTIONS, begin, make_record, python_path, show, start, steps, wait_until
from tests.tracking.wandb_server import WandbServer

pytest_plugins = ["tests.tracking.mirror_fixtures"]


def test_an_online_run_arrives_whole(server: WandbServer, record: Record, capfd: pytest.CaptureFixture[str]) -> None:
    show(record, exit_code=3)
    run = server.runs["a" * 16]
    tags = ["digits", "lenet_300_100", "nnrelief", "protocol-standard"]
    assert (run.project, run.name, run.group, run.job_type, run.tags) == ("p", "one", "some group", "nnrelief", tags)
    assert (run.state, run.exit_code) == ("failed", 3)
    assert run.config == OPTIONS | {"pruner": "nnrelief(alpha_conv=0.9)"}
    assert [row.get("val_top1") for row in run.history] == [0.5, 0.75, None, 0.625, None]
    assert [row.get("accuracy/val_top1_pruned") for row in run.history] == [None, None, 0.25, None, None]
    after = run.history[4]
    assert (after["accuracy/top1"], after["size/compression_params"], after["round"]) == (1, 2, 1)
    assert after["size/layer_density"]["_type"] == "histogram"
    assert sum(after["size/layer_density"]["values"]) == 2
    summary = {name: run.summary[name] for name in ("top1", "val_top1", "compression_params", "val_top1_best", "state")}
    assert summary == {"top1": 1, "val_top1": 0.625, "compression_params": 2, "val_top1_best": 0.75, "state": "done"}
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err == f"W&B: mirrored to {server.url}/tester/p/runs/{'a' * 16}\n"
    assert list((record.folder / "wandb").glob("run-*/*.wandb"))
    assert not Path("wandb").exists()


def test_rows_lost_by_a_kill_are_sent_again_and_no_row_twice(server: WandbServer, record: Record) -> None:
    killed = start(record, "auto", 3)
    wait_until(lambda: "a" * 16 in server.runs and len(steps(server)) >= 1)
    killed.kill()
    killed.communicate()
    assert len(steps(server)) < 5
    show(record)
    assert steps(server) == [0, 1, 2, 3, 4]
    assert server.runs["a" * 16].exit_code == 0


def test_mirroring_a_results_folder_twice_adds_nothing(server: WandbServer, record: Record, tmp_path: Path) -> None:
    make_record(tmp_path / "results", "two", "b" * 16, state="diverged", seed=1)
    make_record(tmp_path / "results", "three", "c" * 16, state="running", seed=2)
    for _ in range(2):
        lines = list(mirror_records(tmp_path / "results", project="p"))
        assert lines[0::2] == ["one: done", "two: diverged"]
        assert lines[1].startswith("three: left out")
        assert sorted(server.runs) == ["a" * 16, "b" * 16]
        assert steps(server) == steps(server, "b" * 16) == [0, 1, 2, 3, 4]
    assert (server.runs["a" * 16].exit_code, server.runs["b" * 16].exit_code) == (0, 1)
    assert server.runs["a" * 16].tags == ["digits", "lenet_300_100", "nnrelief", "protocol-standard"]


def test_mirroring_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no runs in"):
        list(mirror_records(tmp_path))


def test_without_a_key_a_run_is_offline_and_can_be_synced(
    record: Record, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    show(record)
    said = capfd.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    command = line.partition("bring it later with: ")[2]
    assert line.startswith("W&B: mirrored offline (no API key")
    with WandbServer() as server:
        subprocess.run(command, shell=True, env=server.env(tmp_path / "home"), check=True, capture_output=True)
        assert steps(server) == [0, 1, 2, 3, 4]
        assert server.runs["a" * 16].summary["top1"] == 1
        assert server.runs["a" * 16].exit_code == 0


def test_an_offline_run_that_goes_on_leaves_one_folder_with_all_rows(record: Record, tmp_path: Path) -> None:
    killed = start(record, "offline", 3)
    assert killed.stdout
    assert killed.stdout.readline() == "logged\n"
    killed.kill()
    killed.communicate()
    show(record, "offline")
    (folder,) = record.folder.glob("wandb/offline-run-*")
    with WandbServer() as server:
        environment = server.env(tmp_path / "home")
        subprocess.run(["wandb", "sync", str(folder)], env=environment, check=True, capture_output=True)
        assert steps(server) == [0, 1, 2, 3, 4]


def test_a_run_that_was_offline_is_brought_once_by_mirror_and_sync(record: Record, tmp_path: Path) -> None:
    show(record, "offline")
    (folder,) = record.folder.glob("wandb/offline-run-*")
    with WandbServer() as server:
        environment = server.env(tmp_path / "home")
        mirror = [sys.executable, "-m", "benchmark", "mirror", str(record.folder), "--project=p"]
        environment["PYTHONPATH"] = python_path()
        subprocess.run(mirror, env=environment, check=True, capture_output=True)
        subprocess.run(["wandb", "sync", str(folder)], env=environment, check=True, capture_output=True)
        assert steps(server) == [0, 1, 2, 3, 4]
        subprocess.run(mirror, env=environment, check=True, capture_output=True)
        assert steps(server) == [0, 1, 2, 3, 4]


def test_an_offline_run_says_what_stays_true_when_it_is_mirrored_again(
    record: Record, capfd: pytest.CaptureFixture[str]
) -> None:
    def said() -> str:
        return capfd.readouterr().err.partition("bring it later with: ")[2].strip()

    show(record, "offline")
    first = said()
    assert first.startswith("wandb sync ")
    show(record, "offline")  # in place of the first, so that no row is brought twice
    assert said() == first
    (folder,) = record.folder.glob("wandb/offline-run-*")
    assert subprocess.run(f"echo {first}", shell=True, capture_output=True, text=True).stdout.split()[-1] == str(folder)
    mark_as_brought(record.folder)
    show(record, "offline")  # `wandb sync` would add to what is there
    assert said() == f"prunebench mirror {record.folder}"


def test_online_without_a_key_is_an_error_before_anything_is_done(record: Record) -> None:
    with pytest.raises(UserError, match="no API key; run `wandb login`, set WANDB_API_KEY, or choose --wandb offline"):
        check_mirror("online")
    with pytest.raises(UserError, match="no API key"):
        begin(record.folder, "online")
    check_mirror("auto")
    assert not (record.folder / "wandb").exists()


def test_a_key_in_netrc_is_found(server: WandbServer, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    key = os.environ["WANDB_API_KEY"]
    monkeypatch.delenv("WANDB_API_KEY")
    netrc = Path(os.environ["HOME"]) / ".netrc"
    netrc.write_text(f"machine 127.0.0.1:{server.port} login user password {key}\n")
    netrc.chmod(0o600)
    show(record)
    assert steps(server) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("mode", "folders"), [("offline", 1), ("disabled", 0)])
def test_auto_respects_the_clients_mode(
    mode: str, folders: int, server: WandbServer, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    show(record)
    assert server.runs == {}
    assert len(list(record.folder.glob("wandb/*"))) == folders


def test_the_client_is_not_imported_where_w_and_b_is_off(record: Record) -> None:
    code = CODE + "mirror.finish(exit_code=0, summary={})\nsys.exit('wandb' in sys.modules)\n"
    command = [sys.executable, "-c", code, str(record.folder), "off", "5"]
    subprocess.run(command, env=dict(os.environ) | {"PYTHONPATH": python_path()}, check=True, capture_output=True)
    assert not (record.folder / "wandb").exists()


def test_a_sweep_gets_its_values_back_unchanged_and_in_its_own_spelling(
    server: WandbServer, record: Record, tmp_path: Path
) -> None:
    """`wandb sweep` and `wandb agent` with a program that mirrors the record under the names of its own."""
    program = tmp_path / "program.py"
    program.write_text("from pathlib import Path\nfrom benchmark.tracking import mirror_record\n"
                       "from benchmark.records import Record\n"
                       f"mirror_record(Record(Path({str(record.folder)!r})), 'auto')\n")  # fmt: skip
    parameters = {
        "train.lr": {"values": [0.001, 1.0]},
        "pruner.alpha-conv": {"value": 0.9},
        "train": {"parameters": {"epochs": {"value": 2}}},
    }
    sweep = {"method": "grid", "project": "p", "command": [sys.executable, str(program)], "parameters": parameters}
    (tmp_path / "sweep.yaml").write_text(json.dumps(sweep))
    environment = server.env(tmp_path / "home", PYTHONPATH=python_path())
    subprocess.run(["wandb", "sweep", "sweep.yaml"], env=environment, check=True, capture_output=True)
    command = ["wandb", "agent", "tester/p/sweep0"]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
    runs = list(server.runs.values())
    assert [run.config["train.lr"] for run in runs] == [0.001, 1]
    for run in runs:
        assert (run.config["pruner.alpha-conv"], run.config["train"]) == (0.9, {"epochs": 2})
        assert "pruner.alpha_conv" not in run.config
        assert run.config["seed"] == 0
        assert (run.exit_code, run.sweep, steps(server, run.id)) == (0, "sweep0", [0, 1, 2, 3, 4])
    place = json.loads((record.folder / "wandb.json").read_text())
    assert [place[name] for name in ("id", "project", "entity", "sweep")] == [runs[1].id, "p", "tester", "sweep0"]
    subprocess.run(
        [sys.executable, "-m", "benchmark", "mirror", str(record.folder)],
        env=environment,
        check=True,
        capture_output=True,
    )
    assert list(server.runs.values()) == runs  # it goes on with the sweep's own run
    for run in runs:
        assert "pruner.alpha_conv" not in run.config
        assert (run.sweep, steps(server, run.id)) == ("sweep0", [0, 1, 2, 3, 4])
    (found,) = read_runs("tester/p/sweep0")
    assert found["config.json"] == record.read_json("config.json")
