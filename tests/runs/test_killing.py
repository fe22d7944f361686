"""A run killed at any moment and resumed is the run that was never killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.records.record import Record
from tests.tracking.mirrored import python_path

KILLS = 36
TIMED = ("seconds", "images_per_second")
LITTER = ("*.part", "*.corrupt", "checkpoint.pt", "previous-*", "to_step_*", "traceback.json")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("killing")
    command = [sys.executable, "-m", "tests.runs.killing", str(folder), str(KILLS)]
    environment = os.environ | {"PYTHONPATH": python_path(), "OMP_NUM_THREADS": "1"}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert found.returncode == 0, found.stderr
    return folder, json.loads(found.stdout.splitlines()[-1])


def _result(results: Path) -> dict[str, Any]:
    """All that a run found, without what a clock says; every tensor as its bytes."""
    (folder,) = (results / "runs").iterdir()
    record = Record(folder)
    rows = {
        name: [{k: v for k, v in row.items() if not k.endswith(TIMED)} for row in record.read_rows(name)]
        for name in ("epochs.jsonl", "points.jsonl")
    }
    network = torch.load(folder / "network.pt", weights_only=True)
    tensors = {f"{part}.{n}": t.numpy().tobytes() for part in ("module", "masks") for n, t in network[part].items()}
    return {**rows, "tensors": tensors, "state": record.status["state"], "id": folder.name}


def _litter(results: Path) -> list[Path]:
    """What should not be there once all is done; trainings that do not say that they are done."""
    undone = [path for path in results.glob("*/*/status.json") if Record(path.parent).status["state"] != "done"]
    return [*undone, *(path for pattern in LITTER for path in results.rglob(pattern))]


def test_a_run_killed_at_any_moment_ends_bit_equal_and_leaves_no_litter(killed: tuple[Path, dict[str, Any]]) -> None:
    folder, found = killed
    whole = _result(folder / "whole")
    assert len(whole["points.jsonl"]) == 5
    for i, kill in enumerate(found["killed"]):
        assert kill["first"] in (-signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM), kill
        assert kill["last"] == 0, kill
        assert _result(folder / f"killed-{i}") == whole, kill
        assert _litter(folder / f"killed-{i}") == [], kill


def test_the_kills_came_in_every_kind_of_work(killed: tuple[Path, dict[str, Any]]) -> None:
    _, found = killed
    assert len(found["killed"]) >= 60
    kinds = {kill["event"].split()[1] for kill in found["killed"]}
    work = {"_train_window", "_end_epoch", "_prune", "_rewind", "_measure", "append"}
    assert work | {"open", "fsync", "replace", "unlink", "save", "update_status"} <= kinds
    assert {kill["number"] for kill in found["killed"]} == {signal.SIGKILL, signal.SIGTERM}


def test_a_run_killed_again_and_again_gets_on_and_ends_bit_equal(killed: tuple[Path, dict[str, Any]]) -> None:
    folder, found = killed
    assert found["chain"][-1] == 0
    assert len(found["chain"]) > 3
    assert _result(folder / "chain") == _result(folder / "whole")


def test_a_storm_of_kills_at_successive_file_events_leaves_no_litter(killed: tuple[Path, dict[str, Any]]) -> None:
    folder, found = killed
    assert found["storm"][-1] == 0
    assert set(found["storm"][:-1]) == {-signal.SIGKILL}
    assert len(found["storm"]) > 10
    assert _litter(folder / "storm") == []
    assert _result(folder / "storm") == _result(folder / "whole")
