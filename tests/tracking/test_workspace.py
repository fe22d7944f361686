"""The saved view of a project, with the real client and package, and a server on loopback."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from benchmark.config.options import run_config
from benchmark.errors import UserError
from benchmark.runs.execution import carry_out
from benchmark.tracking.workspace import save_workspace
from tests.cli.calling import called
from tests.tracking.mirrored import show
from tests.tracking.wandb_server import WandbServer

pytest_plugins = ["tests.tracking.mirror_fixtures"]

QUICK = {"train.epochs": 1, "retrain.epochs": 1, "train_limit": 200, "device": "cpu"}


def test_a_saved_view_has_the_charts_of_a_runs_page_in_its_sections(
    server: WandbServer, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("wandb_workspaces")
    carry_out(run_config({**QUICK, "pruner": "magnitude", "pruner.sparsity": 0.75, "pruner.rounds": 2}))
    status, said, _ = called(capsys, "wandb_setup", "tester/nnrelief-bench")
    assert (status, said) == (0, f"{server.url}/tester/nnrelief-bench?nw=prunebench1\n")
    (view,) = server.views.values()
    assert (view["entityName"], view["projectName"], view["type"]) == ("tester", "nnrelief-bench", "project-view")
    spec = json.loads(view["spec"])["section"]
    assert spec["settings"]["shouldAutoGeneratePanels"] is False
    sections = {section["name"]: section["panels"] for section in spec["panelBankConfig"]["sections"]}
    assert list(sections) == ["Accuracy against compression", "Size", "Cost", "Training"]
    configs: list[dict[str, Any]] = [panel["config"] for panels in sections.values() for panel in panels]
    names = [name for config in configs for name in config["metrics"]]
    assert len(names) == 15
    (run,) = server.runs.values()
    assert set(names) == run.charts
    assert [config["metrics"] for config in configs][:2] == [["accuracy/top1"], ["accuracy/val_top1"]]
    first = configs[0]
    assert (first["xAxis"], first["xLogScale"]) == ("size/compression_params", True)
    assert first["chartTitle"] == "Test top-1 accuracy"
    defined = run.raw_config["_wandb"]["value"]["m"]
    axes = {metric["1"]: defined[metric["5"] - 1]["1"] for metric in defined if "1" in metric and "5" in metric}
    assert {config["metrics"][0]: config["xAxis"] for config in configs} == {name: axes[name] for name in names}
    pinned = spec["runSets"][0]["runFeed"]["columnPinned"]
    columns = {name.removeprefix("summary:") for name in pinned if name.startswith("summary:")}
    assert columns - run.summary.keys() == {"val_top1_at_8x"}  # beyond what this run measured


def test_saved_again_a_view_takes_the_place_of_the_one_before(server: WandbServer, record: Any) -> None:
    pytest.importorskip("wandb_workspaces")
    show(record)
    assert save_workspace("tester/p") == save_workspace("tester/p")
    assert len(server.views) == 1


def test_a_project_that_is_not_there_a_service_that_is_away_and_a_malformed_path_are_errors(
    server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb_workspaces")
    import wandb

    monkeypatch.setattr(wandb.Api, "_HTTP_TIMEOUT", 1)
    with pytest.raises(UserError, match="cannot save a workspace in tester/p: Project `tester/p` not found"):
        save_workspace("tester/p")
    server.silent.set()
    with pytest.raises(UserError, match="cannot save a workspace in tester/p: ") as caught:
        save_workspace("tester/p")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="a W&B project is ENTITY/PROJECT, got 'tester'"):
        save_workspace("tester")


def test_without_the_package_one_line_says_how_to_have_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    status, _, said = called(capsys, "wandb_setup", "tester/p")
    assert (status, said.count("\n")) == (2, 1)
    assert "pip install 'nnrelief-bench[workspace]'" in said
