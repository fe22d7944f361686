"""`wandb sweep` and `wandb agent`, the real ones, with `prunebench run` against a server on loopback."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.config.options import read_arguments, run_config
from benchmark.config.run import RunConfig
from benchmark.errors import UserError
from benchmark.records.record import Record
from benchmark.runs import execution
from benchmark.runs.execution import carry_out
from benchmark.sweep.grid import sweep_runs
from benchmark.tracking.agent import as_given, told_to_sweep
from benchmark.tracking.mirror import labels
from tests.tracking.mirrored import steps, wait_until
from tests.tracking.wandb_grid import grid
from tests.tracking.wandb_server import WandbServer

pytest_plugins = ["tests.tracking.mirror_fixtures"]

AGENT = [  # that asks for its next run every second, not every five
    sys.executable,
    "-c",
    "from wandb.cli.cli import cli; from wandb.wandb_agent import Agent; Agent.POLL_INTERVAL = 1; cli()",
    "agent",
]
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


BAD = {
    "snip(sparsity=90)": "write 0.9 for 90 %",
    "snpi": "unknown pruner 'snpi', did you mean 'snip'?",
    "broken.py:Mine": "importing broken.py failed: ZeroDivisionError",
    "snip(fast=True)": "pruner.fast",
    "snip(sparsity=0.5": "must read like snip(sparsity=0.9)",
}


@pytest.mark.slow
def test_a_shipped_sweep_runs_under_the_agent_and_five_bad_points_do_not_use_it_up(
    server: WandbServer, tmp_path: Path
) -> None:
    good = ["dense", "snip(sparsity=0.5)"]
    (tmp_path / "broken.py").write_text("1 / 0\n")
    environment = _registered(server, tmp_path, DIGITS, pruner=[*BAD, *good], seed=0, **QUICK)
    environment.pop("WANDB_AGENT_DISABLE_FLAPPING")
    agent = [*AGENT, "tester/nnrelief-bench/sweep0"]
    found = subprocess.run(agent, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    runs = {run.config["pruner"]: run for run in server.runs.values()}
    assert list(runs) == [*BAD, *good], found.stdout + found.stderr  # each point was handed out once, unchanged
    for name, reason in BAD.items():
        run = runs[name]
        assert (run.state, run.exit_code, run.summary["state"]) == ("failed", 1, "failed")
        assert reason in run.summary["reason"]
        assert reason in run.files["output.log"].decode()
        assert name in (run.name or "")
        assert (run.config["dataset"], run.config["train.epochs"]) == ("digits", 1)
        assert reason in found.stdout + found.stderr
    for name in good:
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
    environment = _registered(server, tmp_path, DIGITS, pruner="snip", seed=0, log_model="last", **QUICK)
    words = ["--pruner=snip", "--seed=0", "--wandb=off", *(f"--{k}={v}" for k, v in QUICK.items())]
    own = yaml.safe_load((tmp_path / "sweep.yaml").read_text())["parameters"]
    words += [f"--{k}={v['value']}" for k, v in own.items() if "value" in v and f"--{k}" not in " ".join(words)]
    subprocess.run(["prunebench", "run", *words], cwd=tmp_path, env=environment, check=True, capture_output=True)
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    before = (folder / "points.jsonl").stat().st_mtime_ns
    agent = [*AGENT, "tester/nnrelief-bench/sweep0"]
    subprocess.run(agent, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=300)
    (run,) = server.runs.values()
    assert run.exit_code == 0
    assert (folder / "points.jsonl").stat().st_mtime_ns == before
    record = Record(folder)
    rows = [*record.read_rows("epochs.jsonl"), *record.read_rows("points.jsonl")]
    assert steps(server, run.id) == list(range(len(rows)))
    assert len(server.artifacts.committed) == 1


def test_a_run_that_the_service_stops_can_be_resumed(server: WandbServer, tmp_path: Path) -> None:
    changed = {**QUICK, "train.epochs": 4000, "retrain.epochs": 1, "train_limit": 1000}
    environment = _registered(server, tmp_path, DIGITS, pruner="snip", seed=0, **changed)
    environment["WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL"] = "1"
    agent = [*AGENT, "--count", "1", "tester/nnrelief-bench/sweep0"]
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


@pytest.mark.slow
def test_a_run_whose_agent_is_told_to_end_is_handed_out_again_and_goes_on(server: WandbServer, tmp_path: Path) -> None:
    changed = {**QUICK, "train.epochs": 600, "train_limit": 1000}
    environment = _registered(server, tmp_path, DIGITS, pruner="snip(sparsity=0.5)", seed=0, **changed)
    agent = [*AGENT, "--forward-signals", "tester/nnrelief-bench/sweep0"]
    process = subprocess.Popen(agent, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_until(lambda: any(len(run.history_lines) > 3 for run in server.runs.values()))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    (run,) = server.runs.values()
    assert (run.exit_code, run.state, run.summary["state"]) == (143, "preempted", "interrupted")
    assert 3 < len(steps(server, run.id)) < 600
    found = subprocess.run(agent, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert list(server.runs.values()) == [run], found.stdout + found.stderr
    assert (run.exit_code, run.state, run.summary["state"]) == (0, "finished", "done")
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    rows = [row for name in ("epochs.jsonl", "points.jsonl") for row in Record(folder).read_rows(name)]
    assert steps(server, run.id) == list(range(len(rows)))


@pytest.mark.parametrize(
    "pruner", ["snip(sparsity=0.5)", "nnrelief(alpha_fc=0.9)", "lottery_ticket", "dense(rounds=2)"]
)
def test_the_whole_config_of_a_run_is_a_command_line_of_the_same_run(
    pruner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an agent gives it to a run that was interrupted."""
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep0")
    run = run_config({"pruner": pruner, "train.lr": 0.01, "spare": ["fc3.weight"], "train_limit": 200})
    config = labels(run.head)["config"] | {"_wandb": {"t": {"1": [1, 5]}, "m": None, "start_time": 1.5}}
    words = read_arguments([f"--{name}={value}" for name, value in config.items()])
    assert run_config(as_given(words)).id == run.id


def test_what_fails_before_the_mirror_opens_is_told_to_the_sweep(
    server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep0")
    monkeypatch.setenv("WANDB_RUN_ID", "run0")
    config = run_config({"dataset": "mnist", "data_dir": tmp_path / "nowhere"})
    monkeypatch.setattr(execution, "_prepare", _no_data)
    with pytest.raises(UserError):
        carry_out(config)
    run = server.runs["run0"]
    assert (run.name, run.exit_code, run.summary["reason"]) == (config.name, 1, "no data in nowhere")
    assert run.config["dataset"] == "mnist"
    assert not list(Path.cwd().glob("*wandb"))


def test_a_run_that_failed_is_done_again_where_wandb_asks_for_it_again(
    server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it failed of may have gone: a full GPU, a broken file."""
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep0")
    monkeypatch.setenv("WANDB_RUN_ID", "run0")
    config = run_config({**QUICK, "pruner": "snip"})
    with monkeypatch.context() as broken:
        broken.setattr("benchmark.training.runner.Runner._measure", _no_driver)
        with pytest.raises(RuntimeError):
            carry_out(config)
    run = server.runs["run0"]
    assert (run.exit_code, run.summary["state"]) == (1, "failed")
    assert "no driver" in run.summary["reason"]
    assert carry_out(config).state == "done"
    assert list(server.runs) == ["run0"]
    assert (run.exit_code, run.state, run.summary["state"], run.summary["reason"]) == (0, "finished", "done", "")
    record = Record(execution.outcome_of(config).folder)
    rows = [*record.read_rows("epochs.jsonl"), *record.read_rows("points.jsonl")]
    assert steps(server, "run0") == list(range(len(rows)))


def _no_driver(*given: object) -> None:
    raise RuntimeError("no driver")


def _no_data(config: RunConfig) -> None:
    raise UserError(f"no data in {config.settings.data_dir.name if config.settings.data_dir else ''}")


def test_a_service_that_is_dead_does_not_hold_up_a_run_that_cannot_begin(
    server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep0")
    monkeypatch.setenv("WANDB_RUN_ID", "run0")
    server.silent.set()
    begun = time.monotonic()
    with pytest.raises(UserError, match="snpi"), told_to_sweep({"pruner": "snpi"}):
        run_config({"pruner": "snpi"})
    assert time.monotonic() - begun < 20
