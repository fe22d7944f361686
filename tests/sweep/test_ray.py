"""A sweep on a Ray cluster of two nodes, one of which dies at work; and clusters that are not there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli.entry import main
from benchmark.records.record import Record

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="Ray: pip install 'nnrelief-bench[ray]'")

METHOD = """
from baselines.magnitude import Magnitude


class MyMethod(Magnitude):
    "A method of the user's own, in a file of theirs."
"""
SWEEP = """
method: grid
parameters:
  dataset: {value: digits}
  model: {value: lenet_300_100}
  train.epochs: {value: 10}
  retrain.epochs: {value: 20}
  pruner: {values: [magnitude(rounds=4), "my_method.py:MyMethod(rounds=4)"]}
  seed: {values: [0, 1]}
"""


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes of one processor each."""
    found = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        found.second = found.add_node(num_cpus=1)
        yield found
    finally:
        found.shutdown()


def _wait_until(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.02)


def _points(folder: Path) -> list[dict[str, Any]]:
    rows = Record(folder).read_rows("points.jsonl")
    return [{k: v for k, v in row.items() if not k.endswith(("seconds", "images_per_second"))} for row in rows]


def test_runs_of_a_node_that_dies_are_resumed_on_another(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "my_method.py").write_text(METHOD)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    command = [sys.executable, "-m", "benchmark", "sweep", "sweep.yaml", "--wandb", "off", "--device", "cpu"]
    process = subprocess.Popen(
        [*command, "--ray", cluster.address, "--results", "on_ray"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    runs = tmp_path / "on_ray" / "runs"
    _wait_until(lambda: len(list(runs.glob("*/checkpoint.pt"))) == 2, process)  # a run at work on each node
    cluster.remove_node(cluster.second, allow_graceful=False)
    ended = [r for r in runs.iterdir() if Record(r).done]
    printed, _ = process.communicate(timeout=300)
    assert not ended
    assert process.returncode == 0, printed
    assert "4 runs: 4 done" in printed
    assert len(list((tmp_path / "on_ray" / "dense").iterdir())) == 2

    undisturbed = subprocess.run(
        [*command, "--results", "alone"], env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True
    )
    assert undisturbed.returncode == 0
    for run in sorted((tmp_path / "alone" / "runs").iterdir()):
        assert _points(runs / run.name) == _points(run)
    assert not list(runs.rglob("*.part"))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no.such.host:6379", "nonsense"])
def test_a_cluster_that_is_not_there_is_one_line(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_method.py").write_text(METHOD)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    with pytest.raises(SystemExit, match="2"):
        main(["sweep", "sweep.yaml", "--wandb", "off", "--ray", address])
    message = capsys.readouterr().err
    assert f"no Ray cluster at '{address}'" in message
    assert "ray start --head" in message
    assert len(message.strip().splitlines()) == 1
    assert not (tmp_path / "results").exists()
