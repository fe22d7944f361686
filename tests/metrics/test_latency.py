"""Measured latency: engines compute the masked network, are found, and are timed side by side."""

from __future__ import annotations

import importlib.util
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmark.config.options import run_config
from benchmark.errors import UserError
from benchmark.metrics import engines, latency
from benchmark.metrics.engines import CsrLayer
from benchmark.metrics.latency import Engine, Form, Forms, Run, find_engines, latencies, measured_speedups
from benchmark.network.masked_model import MaskedModel
from benchmark.records.record import Record
from benchmark.runs.execution import carry_out
from benchmark.runs.latency import run_latency


@pytest.fixture(autouse=True)
def _briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "SECONDS", 0.01)


def _net() -> MaskedModel:
    torch.manual_seed(0)
    net = MaskedModel(
        nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, "valid", bias=False),
            nn.ReLU(), nn.Flatten(), nn.Linear(72, 16), nn.ReLU(), nn.Linear(16, 3),
        )
    )  # fmt: skip
    net.apply({name: torch.rand(mask.shape) > 0.7 for name, mask in net.masks.items()})
    net.apply({"0.weight": net.masks["0.weight"] & (torch.arange(8) < 5).view(-1, 1, 1, 1)})
    return net


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(12, 5),
        nn.Linear(12, 5, bias=False),
        nn.Conv2d(3, 4, 3),
        nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), bias=False),
        nn.Conv2d(3, 4, (3, 5), padding="same"),
    ],
)
def test_a_sparse_layer_computes_what_the_dense_one_does(layer: nn.Linear | nn.Conv2d) -> None:
    layer.weight.data *= torch.rand(layer.weight.shape) > 0.6
    inputs = torch.randn(2, 12) if isinstance(layer, nn.Linear) else torch.randn(2, 3, 9, 7)
    with torch.no_grad():
        torch.testing.assert_close(CsrLayer(layer)(inputs), layer(inputs))


def test_the_faster_of_dense_and_sparse_is_taken_for_each_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    masked = latency.masked_copy(_net())[0]
    forms, example = Forms(masked, masked, {}), torch.randn(2, 1, 8, 8)
    for wins in (True, False):
        monkeypatch.setattr(engines, "is_faster", lambda sparse, dense, given, wins=wins: wins)
        found = engines.Csr().prepare("sparse", forms, example, 1)
        assert isinstance(found, nn.Module)
        assert sum(isinstance(part, CsrLayer) for part in found.modules()) == (4 if wins else 0)
        with torch.no_grad():
            torch.testing.assert_close(found(example), masked(example))
    monkeypatch.setattr(engines, "is_faster", lambda one, other, given: isinstance(one, CsrLayer))
    assert engines.Csr().prepare("sparse", forms, example, 1) is masked  # layers win and the whole does not
    assert not any(isinstance(part, CsrLayer) for part in masked.modules())


def test_each_engine_form_and_batch_has_a_row_and_ratios_are_of_the_first_batch() -> None:
    rows = latencies(_net(), (1, 8, 8), [1, 4], 1, find_engines(["torch", "csr"]))
    seen = [(row["batch"], row["engine"], row["form"]) for row in rows]
    forms = [("torch", "dense"), ("torch", "structural"), ("csr", "sparse")]
    assert seen == [(batch, *form) for batch in (1, 4) for form in forms]
    assert all(0 < row["min"] <= row["p25"] <= row["p50"] <= row["p75"] for row in rows)
    assert all(row["difference"] <= 1e-3 and row["repeats"] >= 9 for row in rows)
    found = measured_speedups(rows)
    assert found["speedup_measured_sparse"] == rows[0]["p50"] / rows[2]["p50"]
    assert found["speedup_measured_structural"] == rows[0]["p50"] / rows[1]["p50"]
    assert (found["latency_batch"], found["latency_threads"]) == (1, 1)


class Halved(Engine):
    """Computes something else."""

    forms = ("sparse",)

    def prepare(self, form: Form, forms: Forms, example: Tensor, threads: int) -> Run:
        return lambda inputs: forms.masked(inputs) / 2


def test_an_installed_engine_is_found_and_refused_where_it_computes_something_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = EntryPoint("halved", f"{__name__}:Halved", latency.GROUP)
    monkeypatch.setattr(latency, "entry_points", lambda group: [entry] if group == latency.GROUP else [])
    assert list(find_engines()) == ["torch", "onnxruntime", "csr", "halved"]
    with pytest.raises(UserError, match=r"engine halved, sparse: outputs differ .* by 0\.5"):
        latencies(_net(), (1, 8, 8), [1], 1, find_engines(["halved"]))
    with pytest.raises(UserError, match="unknown engine 'trch', did you mean 'torch'"):
        find_engines(["trch"])


@pytest.mark.slow
def test_onnx_runtime_computes_both_forms() -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    rows = latencies(_net(), (1, 8, 8), [2], 1, find_engines(["onnxruntime"]))
    assert [row["form"] for row in rows] == ["dense", "structural"]


def test_an_engine_says_which_package_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(engines, "find_spec", lambda name: None if name == "onnxruntime" else there(name))
    with pytest.raises(UserError, match="engine onnxruntime needs onnxruntime; pip install"):
        latencies(_net(), (1, 8, 8), [1], 1, find_engines(["onnxruntime"]))


def test_a_run_measures_latency_at_its_trained_points_and_the_command_once_more(tmp_path: Path) -> None:
    small = {"train.epochs": 1, "train_limit": 200, "wandb": "off", "device": "cpu", "results": tmp_path}
    config = run_config({**small, "pruner": "snip", "measure_latency": True})
    folder = carry_out(config).folder
    pruned, trained = Record(folder).read_rows("points.jsonl")
    assert "latency" not in pruned
    assert {row["batch"] for row in trained["latency"]} == {1, 64}
    assert trained["speedup_measured_sparse"] == trained["latency_dense"] / trained["latency_sparse"]
    lines = list(run_latency(folder, [2], 1, ["torch"]))
    assert [line.split()[:3] for line in lines[2:]] == [["torch", "dense", "2"], ["torch", "structural", "2"]]
    written = Record(folder).read_json("latency.json")
    assert written["hardware"]["threads"] == 1
    assert len(written["rows"]) == 2
    assert Record(folder).done
    with pytest.raises(UserError, match="no run in"):
        list(run_latency(tmp_path, [1], 1, []))
