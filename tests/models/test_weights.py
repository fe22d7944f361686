"""Weights from a file: they stand for the dense training, or are refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from benchmark.config.options import run_config
from benchmark.errors import UserError
from benchmark.models.registry import build_model
from benchmark.models.weights import read_weights
from benchmark.records.record import Record
from benchmark.runs.execution import carry_out
from benchmark.sweep.costs import cost_of, starts_dense

SMALL = {"train.epochs": 2, "retrain.epochs": 1, "train_limit": 400, "wandb": "off", "device": "cpu"}


def _state() -> dict[str, Tensor]:
    return build_model("lenet_300_100", 10, 7, shape=(1, 28, 28)).state_dict()


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "wrapped.pt"])
def test_a_state_dict_is_read_by_name_whatever_its_order_and_type(name: str, tmp_path: Path) -> None:
    state = {n: t.half() for n, t in reversed(_state().items())}
    file = tmp_path / name
    if name.endswith("pt"):
        torch.save({"state_dict": state, "epoch": 3} if "wrapped" in name else state, file)
    else:
        safetensors.torch.save_file(state, file)
    found = read_weights(file, build_model("lenet_300_100", 10, 0, shape=(1, 28, 28)))
    assert all(torch.equal(found[n], t.half().float()) for n, t in _state().items())


def _without(state: dict[str, Any]) -> Any:
    return {n.replace("fc1", "layer1"): t for n, t in state.items()}


BAD: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "names": (_without, "missing: fc1.weight, fc1.bias; unexpected: layer1.weight, layer1.bias"),
    "shape": (lambda s: s | {"fc3.bias": torch.ones(9)}, r"misshaped: fc3.bias \(9,\) for \(10,\)"),
    "finite": (lambda s: s | {"fc3.bias": torch.full((10,), torch.nan)}, "not finite: fc3.bias"),
    "list": (lambda s: list(s.values()), "holds no state dict"),
    "many": (lambda s: {str(i): torch.ones(1) for i in range(9)}, "unexpected: 0, 1, 2, 3, 4 and 4 more"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused_with_the_names(case: str, tmp_path: Path) -> None:
    change, message = BAD[case]
    torch.save(change(_state()), tmp_path / "w.pt")
    with pytest.raises(UserError, match=message) as caught:
        read_weights(tmp_path / "w.pt", build_model("lenet_300_100", 10, 0, shape=(1, 28, 28)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_file_of_something_else_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"not tensors at all")
    with pytest.raises(UserError, match=r"neither safetensors nor torch\.save"):
        read_weights(tmp_path / name, torch.nn.Linear(1, 1))


def test_a_run_measures_the_file_in_place_of_a_dense_training(tmp_path: Path) -> None:
    torch.save(_state(), tmp_path / "w.pt")
    options = {**SMALL, "results": tmp_path, "weights": tmp_path / "w.pt", "pruner": "wanda", "retrain.epochs": 0}
    config = run_config(options)
    assert not starts_dense(config)
    assert cost_of(config).epochs == 0
    outcome = carry_out(config)
    assert outcome.state == "done"
    points = Record(outcome.folder).read_rows("points.jsonl")
    assert [(p["round"], p["stage"], p["epochs_total"]) for p in points] == [(0, "trained", 0), (1, "trained", 0)]
    net = build_model("lenet_300_100", 10, 0, shape=(1, 28, 28))
    net.load_state_dict(_state())
    from benchmark.network.masked_model import digest

    assert points[0]["weights_sha256"] == digest(net.state_dict())
    assert not (tmp_path / "dense").exists()


def test_the_files_content_and_not_its_place_is_the_runs_identity(tmp_path: Path) -> None:
    for name, change in (("a.pt", 0), ("b.pt", 0), ("c.pt", 1)):
        torch.save({n: t + change for n, t in _state().items()}, tmp_path / name)
    (tmp_path / "b.pt").write_bytes((tmp_path / "a.pt").read_bytes())
    a, b, c = (run_config({**SMALL, "weights": tmp_path / f"{name}.pt", "pruner": "wanda"}) for name in "abc")
    assert a.id == b.id != c.id
    assert a.dense_id != run_config({**SMALL, "pruner": "wanda"}).dense_id
    with pytest.raises(UserError, match="is not the file of before"):
        run_config({**SMALL, "weights": tmp_path / "c.pt", "weights_digest": a.settings.weights_digest})
    with pytest.raises(UserError, match="cannot read"):
        run_config({**SMALL, "weights": tmp_path / "none.pt"})


@pytest.mark.parametrize("method", ["snip", "lottery_ticket", "network_slimming"])
def test_methods_that_need_more_than_a_trained_network_refuse_a_file(method: str, tmp_path: Path) -> None:
    torch.save(_state(), tmp_path / "w.pt")
    options = {**SMALL, "results": tmp_path, "weights": tmp_path / "w.pt", "pruner": method}
    with pytest.raises(UserError, match="weights stand for the dense training: "):
        carry_out(run_config(options))
