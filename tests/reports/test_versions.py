"""Runs of two versions of a method's file stand apart in a report."""

from __future__ import annotations

from pathlib import Path

from benchmark.config.options import run_config
from benchmark.runs.execution import carry_out
from reports import build

QUICK = {"train.epochs": 1, "train_limit": 200, "wandb": "off", "device": "cpu", "results": "results"}
METHOD = (
    "from benchmark import ScoredPruner\n\n\nclass Mine(ScoredPruner):\n    'A method in a file.'\n\n"
    "    def score(self, net, batches):\n        return {name: w.abs() for name, w in net.weights.items()}\n"
)


def test_two_versions_of_one_file_are_two_rows_of_a_report(tmp_path: Path) -> None:
    runs = []
    for text in (METHOD, METHOD.replace("w.abs()", "-w.abs()")):
        (tmp_path / "mine.py").write_text(text)
        runs.append(run_config({**QUICK, "pruner": "mine.py:Mine"}))
        assert carry_out(runs[-1]).state == "done"
    assert carry_out(run_config({**QUICK, "pruner": "dense"})).state == "done"
    report = build(tmp_path / "results")
    (tables,) = report.tables.values()
    methods = set(tables[0].shown["method"])
    for run in runs:
        assert any(run.sources["pruner"].digest[:8] in method for method in methods), methods
