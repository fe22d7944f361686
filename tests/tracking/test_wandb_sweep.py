"""`wandb sweep` and `wandb agent`, the real ones, with `prunebench run` against a server on loopback."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.config.options import read_arguments, run_config
from benchmark.records.record import Record
from benchmark.sweep.grid import sweep_runs
from tests.tracking.mirrored import steps, wait_until
from tests.tracking.wandb_grid import grid
from tests.tracking.wandb_server import WandbServer

pytest_plugins = ["tests.tracking.mirror_fixtures"]

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))
DIGITS = next(file for file in SWEEPS if file.stem == "digits")
QUICK = {"train.epochs": 1, "retrain.epochs": 1, "train_limit": 200, "device": "cpu"}


@pytest.mark.parametrize("file", SWEEPS, ids=lambda file: file.stem)
def test_the_agents_words_and_our_own_sweep_give_the_same_runs(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRUNEBENCH_DATA", raising=False)
    points = grid(yaml.safe_load(file.read_text())["parameters"])
    by_agent = [run_config(read_arguments([f"--{k}={v}" for k, v in point.items()])) for point in points]
    ours = sweep_runs(file, {}, None, 0)
    assert len(ours) == len({run.id for run in ours}) == len(points)
    assert {run.id for run in by_agent} == {run.id for run in ours}
    methods = {run.call: point["pruner"] for run, point in zip(by_agent, points, strict=True)}
    assert all(call == swept for call, swept in methods.items())  # on W&B one method is one value of `pruner`


def _registered(server: WandbServer, folder: Path, source: Path, **changed: Any) -> dict[str, str]:
    """Register a shipped sweep, with some parameters changed; the environment for its agent."""
    sweep = yaml.safe_load(source.read_text())
    sweep["parameters"] |= {
        name: {"value": v} if not isinstance(v, list) else {"values": v} for name, v in changed.items()
    }
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    programs = Path(sys.executable).parent
    environment = server.env(folder / "home", OMP_NUM_THREADS="1", WANDB_AGENT_DISABLE_FLAPPING="true")
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    assert shutil.which("prunebench", path=environment["PATH"])
    subprocess.run(["wandb", "sweep", "sweep.yaml"], cwd=folder, env=environment, check=True, capture_output=True)
    return environment


def test_a_shipped_sweep_runs_under_the_agent_and_a_bad_point_is_a_failed_run(
    server: WandbServer, tmp_path: Path
) -> None:
    pruners = ["dense", "snip(sparsity=0.5)", "snip(sparsity=90)"]
    environment = _registered(server, tmp_path, DIGITS, pruner=pruners, seed=0, **QUICK)
    agent = ["wandb", "agent", "tester/nnrelief-bench/sweep0"]
    found = subprocess.run(agent, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    runs = {run.config["pruner"]: run for run in server.runs.values()}
    assert sorted(runs) == sorted(pruners), found.stdout + found.stderr  # each point was handed out once, unchanged
    assert runs["snip(sparsity=90)"].exit_code != 0
    assert "write 0.9 for 90 %" in found.stdout + found.stderr
    for name in pruners[:2]:
        run = runs[name]
        assert (run.exit_code, run.sweep, run.config["train.epochs"]) == (0, "sweep0", 1)
        (folder,) = [f for f in (tmp_path / "results" / "runs").iterdir() if f"-{name.partition('(')[0]}-" in f.name]
        record = Record(folder)
        assert record.status["state"] == "done"
        rows = [*record.read_rows("epochs.jsonl"), *record.read_rows("points.jsonl")]
        assert steps(server, run.id) == list(range(len(rows)))
        last = record.read_rows("points.jsonl")[-1]
        assert run.summary["top1"] == pytest.approx(last["top1"])
        assert run.summary["compression_params"] == pytest.approx(last["compression_params"])
    _report_is_the_same_from_both(tmp_path, environment)


def _report_is_the_same_from_both(folder: Path, environment: dict[str, str]) -> None:
    """From the service and from the records: the same tables, byte for byte."""
    for source, out in ((["results"], "local"), (["--wandb", "tester/nnrelief-bench/sweep0"], "service")):
        command = ["prunebench", "report", *source, "--out", out]
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    tables = {
        out: {p.relative_to(folder / out): p.read_bytes() for p in (folder / out).rglob("*.csv")}
        for out in ("local", "service")
    }
    assert len(tables["local"]) >= 3
    assert tables["service"] == tables["local"]


def test_a_run_that_was_done_before_is_shown_in_the_sweep(server: WandbServer, tmp_path: Path) -> None:
    environment = _registered(server, tmp_path, DIGITS, pruner="snip", seed=0, **QUICK)
    words = ["--pruner=snip", "--seed=0", "--wandb=off", *(f"--{k}={v}" for k, v in QUICK.items())]
    own = yaml.safe_load((tmp_path / "sweep.yaml").read_text())["parameters"]
    words += [f"--{k}={v['value']}" for k, v in own.items() if "value" in v and f"--{k}" not in " ".join(words)]
    subprocess.run(["prunebench", "run", *words], cwd=tmp_path, env=environment, check=True, capture_output=True)
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    before = (folder / "points.jsonl").stat().st_mtime_ns
    agent = ["wandb", "agent", "tester/nnrelief-bench/sweep0"]
    subprocess.run(agent, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=300)
    (run,) = server.runs.values()
    assert run.exit_code == 0
    assert (folder / "points.jsonl").stat().st_mtime_ns == before
    record = Record(folder)
    rows = [*record.read_rows("epochs.jsonl"), *record.read_rows("points.jsonl")]
    assert steps(server, run.id) == list(range(len(rows)))


def test_a_run_that_the_service_stops_can_be_resumed(server: WandbServer, tmp_path: Path) -> None:
    changed = {**QUICK, "train.epochs": 4000, "retrain.epochs": 1, "train_limit": 1000}
    environment = _registered(server, tmp_path, DIGITS, pruner="snip", seed=0, **changed)
    environment["WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL"] = "1"
    agent = ["wandb", "agent", "--count", "1", "tester/nnrelief-bench/sweep0"]
    process = subprocess.Popen(agent, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_until(lambda: any(len(run.history_lines) > 3 for run in server.runs.values()))
    (run,) = server.runs.values()
    run.stop_commanded = True
    process.communicate(timeout=300)
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    record = Record(folder)
    assert record.status["state"] == "interrupted"
    assert run.exit_code == 143
    rows = [*record.read_rows("epochs.jsonl"), *record.read_rows("points.jsonl")]
    assert 3 < len(rows) < 4000
    shown = steps(server, run.id)
    assert shown == list(range(len(shown)))
    assert len(rows) - 1 <= len(shown) <= len(rows)  # the record has a row first: the signal may fall in between
    assert record.load("checkpoint.pt") is not None
