"""What a sweep does with runs that cannot begin: an impossible plan, a dense training that another run is to make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.config.options import run_config
from benchmark.data import files
from benchmark.errors import UserError
from benchmark.runs import execution
from benchmark.runs.execution import carry_out
from benchmark.sweep.scheduler import choose_crew, execute, print_costs

QUICK = {"train.epochs": 1, "retrain.epochs": 1, "train_limit": 200, "wandb": "off", "device": "cpu"}
PLANLESS = """
from baselines.snip import SNIP


class Planless(SNIP):
    "Has no plan."

    def plan(self, steps):
        return []
"""


@pytest.mark.parametrize("jobs", [None, 2])
def test_a_run_whose_plan_is_impossible_fails_and_the_others_are_done(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], jobs: int | None
) -> None:
    (tmp_path / "planless.py").write_text(PLANLESS)
    methods = ["early_magnitude(sparsity=0.5, step=100)", "snip(sparsity=0.5)", f"{tmp_path}/planless.py:Planless"]
    runs = [run_config({**QUICK, "results": tmp_path, "pruner": method}) for method in methods]
    print_costs(runs)
    assert capfd.readouterr().out.count("  0 epochs") == 2
    assert execute(runs, choose_crew(jobs, None, None, None)) == 1
    said = capfd.readouterr()
    assert "3 runs: 1 done, 2 failed" in said.out
    assert "prunings within a training of 1 steps must be at rising steps" in said.err
    assert "Planless.plan must return a list" in said.err
    assert "Traceback" not in said.err


def test_a_dense_training_belongs_to_the_run_that_is_to_make_it_before_that_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (
        run_config({**QUICK, "results": tmp_path, "pruner": f"magnitude(sparsity=0.9, rounds={n})"}) for n in (1, 2)
    )
    states: list[str] = []

    def meanwhile(*arguments: Any) -> None:
        monkeypatch.undo()
        states.append(carry_out(second, wait=False).state)

    monkeypatch.setattr(execution, "_carry_out", meanwhile)
    carry_out(first, wait=False)
    states.append(carry_out(second, wait=False).state)
    assert states == ["held", "done"]


def test_a_sweep_whose_data_are_missing_says_so_once_and_begins_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def missing(name: str, root: Path) -> None:
        asked.append(name)
        raise UserError(f"{name} is not in {root}")

    monkeypatch.setattr(files, "_download", missing)
    options = {**QUICK, "dataset": "mnist", "results": tmp_path / "results", "data_dir": tmp_path, "pruner": "dense"}
    runs = [run_config({**options, "seed": seed}) for seed in range(3)]
    with pytest.raises(UserError, match="mnist is not in"):
        execute(runs, choose_crew(None, None, None, None))
    assert asked == ["mnist"]
    assert not (tmp_path / "results").exists()
