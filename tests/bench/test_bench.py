"""The benchmark of speed runs, and its figures are what they say."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import nn

from bench import bare
from bench.timing import compare, cost, spread

ROOT = Path(__file__).parents[2]


def test_the_quick_bench_prints_and_writes_the_same_figures(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    words = ["-m", "bench", "steps", "whole_runs", "records", "--quick", "--out", str(file)]
    found = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=True)
    written = json.loads(file.read_text())
    assert {"torch", "processor", "cores", "threads", "load"} <= written["machine"].keys()
    assert {figure["topic"] for figure in written["figures"]} == {"steps", "whole_runs", "records"}
    for figure, line in zip(written["figures"], found.stdout.splitlines()[1:], strict=True):
        assert line.startswith(figure["what"])
        assert figure["low"] <= figure["value"] <= figure["high"]


def test_a_topic_that_is_none_is_refused_in_words() -> None:
    found = subprocess.run([sys.executable, "-m", "bench", "speed"], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 2
    assert "unknown topic speed; there are steps, " in found.stderr


def test_half_the_speed_is_a_ratio_of_a_half_and_a_cost_of_two() -> None:
    fast, slow = (lambda: time.sleep(0.02)), (lambda: time.sleep(0.04))
    assert 0.3 < compare("", fast, slow, 3).value < 0.7
    assert 1.5 < cost("", slow, fast, 3, "").value < 2.5
    assert spread("", [3.0, 1.0, 2.0], "s").value == 2


def test_the_bare_loop_takes_the_steps_of_its_window_and_evaluates_after_each_epoch() -> None:
    module = nn.Linear(2, 2)
    counts = {"steps": 0, "evaluations": 0}

    def count(part: nn.Module, args: object, out: object) -> None:
        counts["steps" if part.training else "evaluations"] += 1

    module.register_forward_hook(count)
    data = torch.randn(50, 2), torch.zeros(50, dtype=torch.long)
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    bare.train(module, optimizer, data, range(3, 12), 10, data)  # 5 steps an epoch: 2, 5 and 2
    assert counts == {"steps": 9, "evaluations": 3}
