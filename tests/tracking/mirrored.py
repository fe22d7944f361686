"""Made-up records and their mirrors, for the tests of W&B."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmark.records.record import Record
from benchmark.tracking.mirror import Mirror, open_mirror
from tests.tracking.wandb_server import WandbServer

OPTIONS = {
    "dataset": "digits",
    "model": "lenet_300_100",
    "pruner": "nnrelief",
    "protocol": "standard",
    "seed": 0,
    "pruner.alpha_conv": 0.9,
    "pruner.alpha_fc": 1.0,
    "train.lr": 0.001,
    "spare": [],
    "train_limit": None,
}
CODE = """
import json, os, sys
from pathlib import Path
from tests.tracking.mirrored import begin, rows
mirror = begin(Path(sys.argv[1]), sys.argv[2])
for row in rows()[: int(sys.argv[3])]:
    mirror.show(row)
print("logged", flush=True)
"""


def rows() -> list[dict[str, Any]]:
    """Two epochs, a point before retraining, an epoch, a point after it, as they were logged."""
    layers = [{"name": "fc1", "kept": 5, "total": 10, "flops_dense": 10}, {"name": "fc2", "kept": 1, "total": 4}]
    point = {"round": 1, "target_sparsity": None, "compression_params": 2.0, "collapsed": False, "layers": layers}
    found = [
        {"epoch": 1, "train_loss": 2.0, "val_top1": 0.5, "round": 0, "schedule": "train"},
        {"epoch": 2, "train_loss": 1.0, "val_top1": 0.75, "round": 0, "schedule": "train"},
        {"point": 0, **point, "stage": "pruned", "top1": 0.25, "val_top1": 0.25, "masks_sha256": "00"},
        {"epoch": 3, "train_loss": float("nan"), "val_top1": 0.625, "round": 1, "schedule": "retrain"},
        {"point": 1, **point, "stage": "trained", "top1": 1.0, "val_top1": 0.625, "masks_sha256": "00"},
    ]
    return [{"log_step": step, **row} for step, row in enumerate(found)]


def make_record(results: Path, name: str, run_id: str, state: str = "done", **options: Any) -> Record:
    record = Record(results / "runs" / name)
    record.folder.mkdir(parents=True)
    about = {"id": run_id, "name": name, "group": "some group", "protocol": "standard", "dense_key": "d" * 16}
    about |= {"method": {"label": "nnrelief", "call": "nnrelief(alpha_conv=0.9)"}, "config": OPTIONS | options}
    record.write_json("config.json", about)
    record.write_json("environment.json", {"commit": "abc", "hardware": {"device": "cpu"}, "data_verified": True})
    record.write_json("status.json", {"state": state, "reason": "", "stopped_early": None})
    record.write_rows("epochs.jsonl", [row for row in rows() if "epoch" in row])
    record.write_rows("points.jsonl", [row for row in rows() if "point" in row])
    return record


def begin(folder: Path, mode: Any = "auto") -> Mirror:
    """The mirror of the record in `folder`, as a run opens it."""
    return open_mirror(mode, Record(folder), project="p")


def show(record: Record, mode: Any = "auto", exit_code: int = 0) -> None:
    mirror = begin(record.folder, mode)
    mirror.replay(record)
    mirror.finish(exit_code=exit_code, summary={"state": "done"})


def steps(server: WandbServer, run_id: str = "a" * 16) -> list[int]:
    return [row["_step"] for row in server.runs[run_id].history]


def start(record: Record, mode: str, count: int) -> subprocess.Popen[str]:
    """Another process that opens the mirror and logs `count` rows, and then waits to be told to end."""
    code = CODE + "sys.stdin.readline()\nmirror.finish(exit_code=0, summary={})\n"
    command = [sys.executable, "-c", code, str(record.folder), mode, str(count)]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=dict(os.environ) | {"PYTHONPATH": python_path()}, **pipes)


def python_path() -> str:
    """For a child that imports these tests."""
    return os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
