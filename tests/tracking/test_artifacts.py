"""Networks that W&B keeps: sent once, by whatever way, never at the cost of a run; and fetched as records."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any

import pytest
from torch import Tensor

from benchmark.config.options import run_config
from benchmark.errors import UserError
from benchmark.records.record import Record
from benchmark.runs.execution import carry_out
from benchmark.runs.export import finished_network
from benchmark.runs.verification import verify
from benchmark.tracking import client, mirror
from benchmark.tracking.artifact import FETCHED, _check_entries, fetch_records
from benchmark.tracking.mirror import mirror_records
from tests.cli.calling import called
from tests.tracking.wandb_artifacts import Artifact, Fault
from tests.tracking.wandb_server import WandbServer

pytest_plugins = ["tests.tracking.mirror_fixtures"]

QUICK = {"train.epochs": 2, "retrain.epochs": 1, "train_limit": 200, "device": "cpu"}
METHOD = "magnitude(sparsity=0.75, rounds=2)"
FILES = {"config.json", "environment.json", "epochs.jsonl", "points.jsonl", "status.json", "network.pt"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a finished run, made without W&B."""
    results = tmp_path_factory.mktemp("made") / "results"
    assert carry_out(run_config({**QUICK, "pruner": METHOD, "wandb": "off", "results": results})).state == "done"
    return results


@pytest.fixture
def record(made: Path, tmp_path: Path) -> Record:
    """A copy of it."""
    shutil.copytree(made, tmp_path / "there")
    (folder,) = (tmp_path / "there" / "runs").iterdir()
    return Record(folder)


def test_a_run_leaves_its_network_on_wandb_and_another_machine_reads_it(server: WandbServer, tmp_path: Path) -> None:
    there = carry_out(run_config({**QUICK, "pruner": METHOD, "log_model": "last", "results": tmp_path / "there"}))
    (artifact,) = server.artifacts.committed
    assert (artifact.project, artifact.type) == ("nnrelief-bench", "model")
    (run,) = server.runs.values()
    assert (run.exit_code, run.summary["state"]) == (0, "done")
    here = fetch_records(f"wandb:tester/nnrelief-bench/{run.id}", Path("results"))
    assert here == Path("results/wandb/tester/nnrelief-bench/runs") / there.folder.name
    assert [(found.state, found.wrong) for found in verify(here)] == [("done", [])]
    assert _same(_tensors(here), _tensors(there.folder))
    assert not list(Path("results").rglob("*tmp*"))


@pytest.mark.parametrize(("log_model", "points"), [("last", [-1]), ("all", [0, 1, 2, 3, 4])])
def test_the_masks_of_the_last_point_or_of_all_are_kept(
    log_model: Any, points: list[int], server: WandbServer, record: Record
) -> None:
    (line,) = mirror_records(record.folder, project="p", log_model=log_model)
    assert line.endswith(": done")
    (artifact,) = server.artifacts.committed
    rows = record.read_rows("points.jsonl")
    assert len(rows) == 5
    masks = {f"masks-{rows[i]['masks_sha256'][:16]}.safetensors" for i in points}
    firing = {path.name for path in record.folder.glob("firing-*")}
    assert artifact.files.keys() == FILES | masks | firing
    assert firing
    folder = fetch_records("wandb:tester/p", Path("results")) / "runs" / record.folder.name
    assert [found.wrong for found in verify(folder)] == [[]]
    (folder / min(masks)).unlink()
    assert [found.wrong for found in verify(folder)] == [[f"{min(masks)} is missing"]]


def test_a_network_is_sent_once(server: WandbServer, record: Record) -> None:
    for _ in range(3):
        list(mirror_records(record.folder, project="p", log_model="last"))
    assert server.requests.count("CreateArtifact") == 1
    assert len(server.artifacts.committed) == 1


def test_a_network_with_all_masks_is_not_followed_by_one_with_fewer(server: WandbServer, record: Record) -> None:
    for log_model in ("last", "all", "last"):
        list(mirror_records(record.folder, project="p", log_model=log_model))
    assert [json.loads(artifact.metadata)["masks"] for artifact in server.artifacts.committed] == ["last", "all"]


def test_a_run_made_without_wandb_is_mirrored_as_it_was_asked(server: WandbServer, tmp_path: Path) -> None:
    asked = {**QUICK, "pruner": "snip", "wandb": "off", "results": tmp_path}
    carry_out(run_config({**asked, "log_model": "last"}))
    carry_out(run_config({**asked, "seed": 1}))
    assert len(list(mirror_records(tmp_path, project="p"))) == 2
    assert len(server.runs) == 2
    (artifact,) = server.artifacts.committed
    assert b'"seed": 0' in artifact.files["config.json"]


def test_a_network_of_an_offline_run_comes_with_wandb_sync(server: WandbServer, record: Record) -> None:
    list(mirror_records(record.folder, "offline", project="p", log_model="all"))
    assert server.requests == []
    (folder,) = record.folder.glob("wandb/offline-run-*")
    subprocess.run(["wandb", "sync", str(folder)], check=True, capture_output=True)
    (artifact,) = server.artifacts.committed
    assert artifact.files.keys() > FILES
    list(mirror_records(record.folder, project="p", log_model="all"))
    assert server.requests.count("CreateArtifact") == 1


@pytest.fixture(params=["no leave", "storage refuses", "storage is silent", "loses"])
def fault(request: pytest.FixtureRequest, server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fault]:
    """W&B takes rows, and no network."""
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "2")
    server.artifacts.fault = request.param
    yield request.param
    server.artifacts.released.set()


def test_a_network_that_does_not_arrive_is_said_in_one_line_and_brought_later(
    fault: Fault, server: WandbServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    begun = time.monotonic()
    outcome = carry_out(run_config({**QUICK, "pruner": "snip", "log_model": "last", "results": tmp_path / "there"}))
    assert time.monotonic() - begun < 20
    assert outcome.state == "done"
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("W&B: ")][1:]
    why = "Timed out finishing run." if fault == "storage is silent" else "the network did not arrive"
    way = f"bring it later with: prunebench mirror {outcome.folder}"
    assert line == f"W&B: mirroring ended ({why}); the local record is whole, {way}"
    assert server.artifacts.committed == []
    server.artifacts.fault = ""
    server.artifacts.released.set()
    assert list(mirror_records(outcome.folder)) == [f"{outcome.folder.name}: done"]
    assert len(server.artifacts.committed) == 1
    (run,) = server.runs.values()
    assert (run.exit_code, run.state) == (0, "finished")


def test_mirroring_says_that_a_network_did_not_arrive(fault: Fault, record: Record) -> None:
    why = "Timed out finishing run." if fault == "storage is silent" else "the network did not arrive"
    with pytest.raises(UserError, match=f"W&B: {why}; 1 of 1 runs are left, go on with: prunebench mirror"):
        list(mirror_records(record.folder, project="p", log_model="last"))


def test_where_no_run_waits_for_it_a_network_has_the_longer_the_larger_it_is(
    server: WandbServer, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(client.LIMITS, "finish_timeout", 1.0)
    monkeypatch.setattr(mirror, "RATE", (record.folder / "network.pt").stat().st_size / 20)
    server.artifacts.fault = "storage is silent"
    Timer(3, server.artifacts.released.set).start()
    list(mirror_records(record.folder, project="p", log_model="last"))
    assert len(server.artifacts.committed) == 1


def test_a_service_that_dies_before_the_end_of_a_run_holds_it_up_no_longer_for_a_network(
    server: WandbServer, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "1")
    opened = mirror.open_mirror("auto", record, project="p", log_model="last")
    opened.replay(record)
    server.silent.set()
    begun = time.monotonic()
    opened.finish(exit_code=0, summary={"state": "done"})
    assert time.monotonic() - begun < 8  # with the default of the finish 15, not 1


def test_an_error_of_the_client_about_a_network_leaves_the_run_as_it_ended(
    server: WandbServer, record: Record, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import wandb

    def fail(*args: object, **kwargs: object) -> None:
        raise ValueError("there is one of another type")

    monkeypatch.setattr(wandb.Run, "log_artifact", fail)
    mirror.mirror_record(record, "auto", project="p", log_model="last")
    assert "W&B: mirroring ended (the network did not arrive); " in capfd.readouterr().err
    (run,) = server.runs.values()
    assert (run.exit_code, run.state) == (0, "finished")


def test_a_damaged_record_is_not_sent(server: WandbServer, record: Record) -> None:
    (record.folder / "network.pt").write_bytes(b"something else")
    list(mirror_records(record.folder, project="p", log_model="last"))
    assert server.artifacts.committed == []


def test_what_was_fetched_is_fetched_once_and_never_replaced(
    server: WandbServer, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(mirror_records(record.folder, project="p", log_model="last"))
    folder = fetch_records("wandb:tester/p", Path("results")) / "runs" / record.folder.name
    before = (folder / "network.pt").stat().st_mtime_ns
    fetch_records("wandb:tester/p", Path("results"))
    assert (folder / "network.pt").stat().st_mtime_ns == before
    list(mirror_records(record.folder, project="p", log_model="all"))
    with pytest.raises(UserError, match="is not what W&B has of this run; remove it to fetch that"):
        fetch_records("wandb:tester/p", Path("results"))
    shutil.rmtree(folder)
    fetch_records("wandb:tester/p", Path("results"))
    assert Record(folder).read_json(FETCHED)["masks"] == "all"


def test_what_is_not_whole_on_wandb_leaves_nothing_behind(server: WandbServer, record: Record) -> None:
    list(mirror_records(record.folder, project="p", log_model="last"))
    (artifact,) = server.artifacts.committed
    _damage(artifact)
    with pytest.raises(UserError, match=r"is not whole \(network.pt is damaged"):
        fetch_records("wandb:tester/p", Path("results"))
    assert list(Path("results").rglob("*.*")) == []


def test_the_commands_take_a_run_that_wandb_keeps(
    server: WandbServer, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    list(mirror_records(record.folder, project="p", log_model="all"))
    (run,) = server.runs
    status, said, _ = called(capsys, "export", f"wandb:tester/p/{run}")
    assert (status, said.count("\n")) == (0, 3)
    assert all(Path(file).is_file() and file.startswith("results/wandb/tester/p/runs/") for file in said.split())
    status, said, _ = called(capsys, "verify", "wandb:tester/p")
    assert (status, said) == (0, "1 of 1 finished runs and dense trainings are as they were written\n")
    status, said, _ = called(capsys, "latency", f"wandb:tester/p/{run}", "--batch=1", "--engines=torch")
    assert (status, "structural" in said) == (0, True)
    assert called(capsys, "report", "wandb:tester/p")[0] == 0
    assert Path("results/wandb/tester/p/report/index.html").is_file()
    assert called(capsys, "export", "wandb:tester/p")[0] == 2


def _damage(artifact: Artifact) -> None:
    artifact.files["network.pt"] = artifact.files["network.pt"][:-1] + b"?"


@pytest.mark.parametrize("source", ["wandb:", "wandb:tester", "wandb:tester/p/r/x", "wandb:tester/../r", "wandb:/p/r"])
def test_a_malformed_source_is_an_error(source: str) -> None:
    with pytest.raises(UserError, match="a run on W&B is wandb:ENTITY/PROJECT/RUN"):
        fetch_records(source, Path("results"))


def test_a_run_without_a_network_there_is_an_error(
    server: WandbServer, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    list(mirror_records(record.folder, project="p"))
    with pytest.raises(UserError, match="W&B keeps no network of wandb:tester/p; prunebench mirror DIR --log_model"):
        fetch_records("wandb:tester/p", Path("results"))
    with pytest.raises(UserError, match="cannot fetch wandb:tester/p/nothing: "):
        fetch_records("wandb:tester/p/nothing", Path("results"))
    server.stop()
    monkeypatch.setattr(wandb.Api, "_HTTP_TIMEOUT", 1)
    with pytest.raises(UserError, match="cannot fetch wandb:tester/p: ") as caught:
        fetch_records("wandb:tester/p", Path("results"))
    assert "\n" not in str(caught.value)


def _tensors(folder: Path) -> dict[str, Tensor]:
    net, _, _ = finished_network(folder)
    return {**net.module.state_dict(), **{f"{name} mask": mask for name, mask in net.masks.items()}}


def _same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


@pytest.mark.parametrize(
    ("name", "ref", "trust", "said"),
    [
        ("code/model/mine.py", None, False, "comes with code of its owner's"),
        ("../network.pt", None, True, "holds ../network.pt, which no run has"),
        ("code/../../x.py", None, True, "which no run has"),
        ("masks-1/x.safetensors", None, True, "which no run has"),
        ("network.pt", "file:///etc/passwd", True, "which no run has"),
        ("code/model/mine.py", None, True, ""),
        ("masks-1.safetensors", None, False, ""),
    ],
)
def test_what_an_artifact_may_hold(name: str, ref: str | None, trust: bool, said: str) -> None:
    entries = {"config.json": SimpleNamespace(ref=None), name: SimpleNamespace(ref=ref)}
    if not said:
        _check_entries(entries, trust, "run")
        return
    with pytest.raises(UserError, match=re.escape(said)):
        _check_entries(entries, trust, "run")
