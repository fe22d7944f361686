"""A profile counts every stage to the end, and operators only for a while."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmark.training import profiling
from benchmark.training.profiling import profiled, stage


@stage("adding")
def _add() -> None:
    torch.ones(3).add(1)


@stage("failing")
def _fail() -> None:
    raise RuntimeError


def test_stages_count_throughout_and_operators_for_the_first_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(profiling, "TRACED", 0.0)  # the first stage is recorded whole
    said: list[str] = []
    with profiled(said.append, lambda: tmp_path / "trace.json"):
        for _ in range(5):
            _add()
    lines = [line.split() for line in said[0].splitlines() if line]
    assert next(line for line in lines if line[0] == "adding")[-1] == "5"
    assert next(line for line in lines if line[0] == "aten::add")[-1] == "1"
    assert "aten::add" in (tmp_path / "trace.json").read_text()
    assert capfd.readouterr() == ("", "")  # torch's profiler has not said that it starts


def test_a_failure_ends_the_profile(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(RuntimeError), profiled(said.append, lambda: tmp_path / "trace.json"):
        _fail()
    assert not said
    with profiled(said.append, lambda: tmp_path / "trace.json"):
        _add()
    assert "adding" in said[0]
