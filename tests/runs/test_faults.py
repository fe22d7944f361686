"""What goes wrong around a run: full and read-only disks, damaged files, two sweeps at once, no memory left."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.config.options import run_config
from benchmark.config.run import RunConfig
from benchmark.errors import UserError
from benchmark.records.record import Record, open_record
from benchmark.runs.execution import carry_out, outcome_of
from benchmark.runs.export import export_run
from benchmark.training import trainer
from benchmark.training.trainer import Trainer
from tests.tracking.mirrored import wait_until

SMALL = {"train.epochs": 2, "retrain.epochs": 1, "train_limit": 300, "wandb": "off", "device": "cpu"}
TIMED = ("seconds", "images_per_second")


def _config(results: Path, pruner: str = "magnitude(rounds=1)", **options: Any) -> RunConfig:
    return run_config({**SMALL, "pruner": pruner, "results": results, **options})


def _points(folder: Path) -> list[dict[str, Any]]:
    rows = Record(folder).read_rows("points.jsonl")
    return [{k: v for k, v in row.items() if not k.endswith(TIMED)} for row in rows]


def _run(results: Path, *words: str) -> subprocess.CompletedProcess[str]:
    options = [f"--{k}={v}" for k, v in {**SMALL, "pruner": "magnitude(rounds=1)", "results": results}.items()]
    command = [sys.executable, "-m", "benchmark", "run", *options, *words]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 4 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("a file system cannot be mounted here: it needs the rights of root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_one_line_and_the_run_goes_on_once_there_is_room(small_disk: Path, tmp_path: Path) -> None:
    found = _run(small_disk)
    assert found.returncode == 1
    assert "No space left on device" in found.stderr
    assert "Traceback" not in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
    assert list(small_disk.rglob("*.part")) == []
    subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)
    assert _run(small_disk).returncode == 0
    (folder,) = (small_disk / "runs").iterdir()
    assert _run(tmp_path / "elsewhere").returncode == 0
    (other,) = (tmp_path / "elsewhere" / "runs").iterdir()
    assert _points(folder) == _points(other)


def test_a_read_only_results_folder_is_one_line_of_the_users(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    found = _run(small_disk / "results")
    assert found.returncode == 2
    assert "Read-only file system" in found.stderr
    assert "--results" in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["points.jsonl", "epochs.jsonl", "config.json", "status.json", "network.pt"])
def test_a_truncated_file_of_a_finished_run_is_named_set_aside_and_made_anew(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = _config(tmp_path)
    folder = carry_out(config).folder
    before = _points(folder)
    path = folder / name
    path.write_bytes(path.read_bytes()[:-10])
    assert carry_out(config).state == "done"
    assert f"{path} is damaged" in capsys.readouterr().err
    assert (folder / f"{name}.corrupt").exists()
    assert _points(folder) == before


def test_a_truncated_checkpoint_is_set_aside_and_the_one_before_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = carry_out(_config(tmp_path / "whole", pruner="snip(sparsity=0.5)")).folder
    config = _config(tmp_path / "parts", pruner="snip(sparsity=0.5)")
    saves: list[int | None] = []
    taken: list[int | None] = []
    save, resume = Trainer.save, Trainer.resume
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0)

    def interrupted(self: Trainer) -> None:
        save(self)
        saves.append(self.state.step)
        if len(saves) == 3:
            raise KeyboardInterrupt

    def watched(self: Trainer) -> None:
        resume(self)
        taken.append(self.state.step)

    monkeypatch.setattr(Trainer, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        carry_out(config)
    monkeypatch.undo()
    (folder,) = (tmp_path / "parts" / "runs").iterdir()
    checkpoint = folder / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    monkeypatch.setattr(Trainer, "resume", watched)
    assert carry_out(config).state == "done"
    assert "checkpoint.pt is damaged" in capsys.readouterr().err
    assert taken == [saves[1]] != [None]
    assert _points(folder) == _points(whole)


def test_two_sweeps_over_one_folder_share_the_work(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep.yaml"
    pruners = [f"snip(sparsity=0.{i})" for i in range(1, 7)] + ["magnitude(rounds=2)", "lottery_ticket(rounds=2)"]
    sweep.write_text(f"method: grid\nparameters:\n  pruner: {{values: {pruners}}}\n")
    options = [f"--{k}={v}" for k, v in {**SMALL, "results": tmp_path / "results"}.items()]
    command = [sys.executable, "-m", "benchmark", "sweep", str(sweep), *options, "--train.epochs=20"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    processes = [subprocess.Popen(command, **pipes) for _ in range(2)]
    outs = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outs
    assert all("8 runs: 8 done" in out for out, _ in outs)
    folders = list((tmp_path / "results" / "runs").iterdir())
    assert len(folders) == 8
    for folder in folders:
        steps = [row["log_step"] for name in ("epochs.jsonl", "points.jsonl") for row in Record(folder).read_rows(name)]
        assert sorted(steps) == list(range(len(steps)))
    assert len(list((tmp_path / "results" / "dense").iterdir())) == 1


@pytest.mark.parametrize(
    "sent", [[signal.SIGINT, signal.SIGINT], [signal.SIGTERM], [signal.SIGKILL]], ids=["INT", "TERM", "KILL"]
)
def test_a_sweep_that_is_stopped_ends_with_all_its_workers(tmp_path: Path, sent: list[signal.Signals]) -> None:
    """Ctrl-C, twice, reaches the workers too; the others only the sweep's own process."""
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text("method: grid\nparameters:\n  pruner: {values: [snip, random]}\n  train.epochs: {value: 100000}\n")
    options = ["--wandb=off", "--device=cpu", f"--results={tmp_path}", "--jobs=2"]
    command = [sys.executable, "-m", "benchmark", "sweep", str(sweep), *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_until(lambda: len(list(tmp_path.glob("runs/*/checkpoint.pt"))) == 2)
    for number in sent:
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    _, said = process.communicate(timeout=60)  # ends when no worker holds the pipe any more
    records = [Record(folder) for folder in (tmp_path / "runs").iterdir()]
    assert [record.status["state"] for record in records] == ["interrupted"] * 2
    assert all(record.load("checkpoint.pt") for record in records)
    if sent != [signal.SIGKILL]:
        assert process.returncode == 128 + sent[0]
        assert said == "prunebench: stopped; the same command again goes on from here\n"


def test_a_mask_that_empties_a_layer_is_measured_and_shown_as_collapsed(tmp_path: Path) -> None:
    folder = carry_out(_config(tmp_path, pruner="magnitude(rounds=1, sparsity=0.9999)")).folder
    last = _points(folder)[-1]
    assert last["collapsed"]
    assert 0 <= last["top1"] <= 1
    assert Record(folder).status["state"] == "done"


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_a_run_without_memory_is_one_line_and_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    config = _config(tmp_path, pruner="snip(sparsity=0.5)")

    def full(*args: Any) -> None:
        raise error

    monkeypatch.setattr(Trainer, "_end_epoch", full)
    outcome = carry_out(config)
    assert outcome.state == "interrupted"
    assert "out of memory on cpu; a smaller --train.batch_size is another run" in outcome.reason
    monkeypatch.undo()
    assert carry_out(config).state == "done"


def test_a_disk_that_was_full_for_a_moment_leaves_the_run_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config(tmp_path, pruner="snip(sparsity=0.5)")

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Trainer, "save", full)
    with pytest.raises(OSError, match="No space left"):
        carry_out(config)
    monkeypatch.undo()
    outcome = outcome_of(config)
    assert (outcome.state, outcome.reason) == ("interrupted", "No space left on device; run it again to go on")
    assert carry_out(config).state == "done"


def test_a_finished_run_without_its_network_is_not_done_for_anybody_and_is_made_anew(tmp_path: Path) -> None:
    config = _config(tmp_path)
    folder = carry_out(config).folder
    before = _points(folder)
    (folder / "network.pt").unlink()
    said = ("interrupted", "network.pt is missing; run it again to make it anew")
    assert (outcome_of(config).state, outcome_of(config).reason) == said
    with pytest.raises(UserError, match=r"network\.pt is missing; run it again to make it anew"):
        export_run(folder, "torch", tmp_path / "out")
    assert carry_out(config).state == "done"
    assert export_run(folder, "torch", tmp_path / "out")
    assert _points(folder) == before


def test_a_planted_link_in_a_runs_folder_leads_no_export_elsewhere(tmp_path: Path) -> None:
    folder = carry_out(_config(tmp_path, pruner="snip(sparsity=0.5)")).folder
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "export").symlink_to(elsewhere)
    with pytest.raises(UserError, match=r"export is a link to .*elsewhere; remove it, or name that folder with --out"):
        export_run(folder, "torch", folder / "export")
    assert list(elsewhere.iterdir()) == []


def test_links_planted_for_the_files_of_a_run_are_replaced_or_refused_and_nothing_is_written_elsewhere(
    tmp_path: Path,
) -> None:
    config = _config(tmp_path, pruner="snip(sparsity=0.5)")
    folder = tmp_path / "runs" / config.name
    folder.mkdir(parents=True)
    other = tmp_path / "other"
    other.write_text("mine")
    for name in ("config.json", "status.json", "checkpoint.pt", "network.pt", "points.jsonl"):
        (folder / name).symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        carry_out(config)
    (folder / "points.jsonl").unlink()
    assert carry_out(config).state == "done"
    assert other.read_text() == "mine"


def test_a_run_whose_dense_training_another_makes_counts_as_held(tmp_path: Path) -> None:
    config = _config(tmp_path)
    with open_record(tmp_path, "dense", config.dense_id).locked():
        outcome = carry_out(config, wait=False)
        assert (outcome.state, outcome.reason) == ("held", "another process works on its dense training")
        assert outcome_of(config).state == "missing"
        assert carry_out(_config(tmp_path, pruner="snip(sparsity=0.5)"), wait=False).state == "done"
    assert carry_out(config, wait=False).state == "done"


def test_a_method_with_an_empty_plan_fails_with_one_line_that_says_so(tmp_path: Path) -> None:
    file = tmp_path / "empty.py"
    file.write_text(
        "from dataclasses import dataclass\nfrom benchmark import ScoredPruner\n@dataclass(frozen=True, kw_only=True)\n"
        "class Empty(ScoredPruner):\n    'Empty.'\n    def plan(self, steps):\n        return []\n"
        "    def score(self, net, batches):\n        return net.weights\n"
    )
    config = _config(tmp_path / "results", pruner=f"{file}:Empty")
    for _ in range(2):
        outcome = carry_out(config)
        assert outcome.state == "failed"
        assert outcome.reason.startswith("Empty.plan must return a list of Train, Prune and Rewind that is not empty")
