"""Network slimming: scores and penalty by hand, and runs that end the same whether interrupted or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from baselines.network_slimming import NetworkSlimming
from benchmark.config.options import run_config
from benchmark.errors import Interrupted, UserError
from benchmark.network.masked_model import MaskedModel
from benchmark.pruning import decide
from benchmark.pruning.plan import RETRAIN, Prune, Train
from benchmark.records.record import Record
from benchmark.runs.execution import carry_out
from benchmark.runs.progress import Progress
from benchmark.training.loop import train_steps
from benchmark.training.soft import own_tensors, soft_objective

OPTIONS = {
    "model": "resnet_20", "pruner": "network_slimming(sparsity=0.5, penalty_weight=0.01)", "train.optimizer": "sgd",
    "train.epochs": 2, "retrain.epochs": 1, "train_limit": 300, "train.batch_size": 50, "wandb": "off", "device": "cpu",
}  # fmt: skip


def _net() -> MaskedModel:
    torch.manual_seed(0)
    first = [nn.Linear(2, 4, bias=False), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 2)]
    net = MaskedModel(nn.Sequential(*first))
    net.module.get_parameter("1.weight").data = torch.tensor([0.5, -2.0, 0.5, 0.1])
    net.own = own_tensors(NetworkSlimming(), net)
    return net


BATCHES = [(torch.randn(6, 2), torch.zeros(6, dtype=torch.long))]


def test_a_filter_scores_the_scale_of_its_batch_norm_and_layers_without_one_come_last() -> None:
    scores = NetworkSlimming().score(_net(), BATCHES)
    assert scores["0.weight"].sum(1).tolist() == pytest.approx([0.5, 2.0, 0.5, 0.1])
    assert scores["3.weight"].sum(1).tolist() == pytest.approx([3.0, 3.0])


def test_of_equal_scales_the_first_filter_stays_with_all_that_belongs_to_it() -> None:
    net = _net()  # layers 0 and 3 can lose filters, of 2 and of 4 weights: 12 of 16 stay
    found = decide(NetworkSlimming(), net, BATCHES, Prune(0.25))
    assert found.masks["0.weight"].any(1).tolist() == [True, True, False, False]
    assert found.masks["1.bias"].tolist() == found.masks["1.weight"].tolist() == [True, True, False, False]
    assert found.masks["3.weight"].any(0).tolist() == [True, True, False, False]
    assert torch.equal(found.values["1.weight"], net.own["1.weight"])


def test_the_penalty_is_the_sum_of_absolute_scales_and_reaches_them() -> None:
    net, method = _net(), NetworkSlimming(penalty_weight=0.1)
    penalty = method.penalty(net.weights, net.own, 0.0)
    assert float(penalty.detach()) == pytest.approx(0.1 * 3.1)
    (slope,) = torch.autograd.grad(penalty, [net.own["1.weight"]])
    assert slope.tolist() == pytest.approx([0.1, -0.1, 0.1, 0.1])


def test_it_trains_softly_prunes_and_retrains() -> None:
    assert NetworkSlimming().plan(100) == [Prune(0.0), Train(0, 100), Prune(0.7), RETRAIN]


def test_a_network_without_batch_norm_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs a network with batch norms"):
        carry_out(run_config({**OPTIONS, "results": tmp_path, "model": "lenet_5"}))
    with pytest.raises(UserError, match="must be filters"):
        NetworkSlimming(structure="weights")
    with pytest.raises(UserError, match="penalty_weight must be a number, at least 0"):
        NetworkSlimming(penalty_weight=-1)


class Interrupting(Progress):
    """Ends the run at its second epoch, as a signal would."""

    def epoch(self, row: Any) -> None:
        if row["epoch"] == 2:
            raise Interrupted(143)


@pytest.mark.slow
def test_a_run_removes_filters_and_ends_the_same_when_interrupted(tmp_path: Path) -> None:
    whole, parts = (run_config({**OPTIONS, "results": tmp_path / part}) for part in ("whole", "parts"))
    assert carry_out(whole).state == "done"
    with pytest.raises(Interrupted):
        carry_out(parts, Interrupting(parts))
    outcome = carry_out(parts)
    assert outcome.state == "done"
    rows = [
        Record(results / "runs" / whole.name).read_rows("points.jsonl")
        for results in (tmp_path / "whole", tmp_path / "parts")
    ]
    timed = ("seconds",)
    plain = [[{k: v for k, v in row.items() if not k.endswith(timed)} for row in run] for run in rows]
    assert plain[0] == plain[1]
    assert [p["stage"] for p in rows[0]] == ["pruned", "trained", "pruned", "trained"]
    assert rows[0][-1]["speedup_structural"] > 1.1
    assert rows[0][-1]["sparsity_prunable"] > 0.4


def test_the_penalty_makes_the_scales_smaller_and_nothing_else_trains_them() -> None:
    sums = []
    for weight in (0.0, 0.5):
        net, method = _net(), NetworkSlimming(penalty_weight=weight)
        optimizer = torch.optim.SGD([*net.module.parameters(), *net.own.values()], lr=0.05)
        train_steps(net, optimizer, BATCHES * 20, [0.05] * 20, objective=soft_objective(method, net, lambda step: 0.0))
        assert net.module.get_parameter("1.weight").tolist() == pytest.approx([0.5, -2.0, 0.5, 0.1])
        sums.append(float(net.own["1.weight"].detach().abs().sum()))
    assert sums[1] < 0.8 * sums[0]
