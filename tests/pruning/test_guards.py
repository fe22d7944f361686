"""A method that breaks a rule of the contract ends its run with one line that names the method and the rule."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from benchmark import (
    Batches,
    MaskedModel,
    Phase,
    Prune,
    Pruned,
    Pruner,
    ScoredPruner,
    Scores,
    SparseTraining,
    Train,
    loss_gradients,
)
from benchmark.errors import MethodError, UserError
from benchmark.network.masked_model import digest
from benchmark.pruning import check_class, check_possible, checked_plan, decide

BATCHES: Batches = [(torch.randn(6, 4), torch.randint(3, (6,)))]


def _net() -> MaskedModel:
    torch.manual_seed(0)
    return MaskedModel(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)))


def _method(prune: Callable[[MaskedModel, Batches, Prune], Any]) -> Pruner:
    @dataclass(frozen=True, kw_only=True)
    class Method(Pruner):
        def plan(self, steps: int) -> list[Phase]:
            return [Prune(None), Train(0, steps)]

        def prune(self, net: MaskedModel, batches: Batches, phase: Prune) -> Pruned:
            return prune(net, batches, phase)

    return Method()


def _changed_value(net: MaskedModel, *_: Any) -> Pruned:
    net.module.get_parameter("0.weight").data.add_(1)  # which no version counter sees
    return Pruned(net.masks)


def _changed_buffer(net: MaskedModel, *_: Any) -> Pruned:
    net.module.train()(BATCHES[0][0])
    return Pruned(net.masks)


def _left_mode(net: MaskedModel, *_: Any) -> Pruned:
    net.module.eval()
    return Pruned(net.masks)


def _left_hook(net: MaskedModel, *_: Any) -> Pruned:
    net.module.get_submodule("3").register_forward_hook(lambda *_: None)
    return Pruned(net.masks)


def _left_gradients(net: MaskedModel, batches: Batches, phase: Prune) -> Pruned:
    net.module.eval()
    with torch.enable_grad():
        net.module(batches[0][0]).sum().backward()
    net.module.train()
    return Pruned(net.masks)


def _backward_without_gradients(net: MaskedModel, batches: Batches, phase: Prune) -> Pruned:
    copy.deepcopy(net.module)(batches[0][0]).sum().backward()
    return Pruned(net.masks)


def _revived(net: MaskedModel, *_: Any) -> Pruned:
    return Pruned({name: torch.ones_like(mask) for name, mask in net.masks.items()})


def _changed_masks(net: MaskedModel, *_: Any) -> Pruned:
    net.masks["3.weight"][0] = False
    return Pruned(net.masks)


def _with(**other: Any) -> Callable[..., Pruned]:
    return lambda net, *_: Pruned({**net.masks, **{k.replace("_", "."): v for k, v in other.items()}})


RULES = {
    "value": (_changed_value, "changed the network's 0.weight; work on a copy"),
    "buffer": (_changed_buffer, "changed the network's 1.running_mean"),
    "mode": (_left_mode, "left the network in another mode"),
    "hook": (_left_hook, "left a hook on the network"),
    "gradients": (_left_gradients, "left gradients on the network"),
    "backward": (_backward_without_gradients, "hooks run without gradients: use loss_gradients"),
    "revived": (_revived, "revives 1 entries of 0.weight; this phase lets it exchange 0"),
    "masks": (_changed_masks, "changed net.masks in place"),
    "raises": (lambda *_: 1 / 0, "raised ZeroDivisionError: division by zero (test_guards.py, line"),
    "type": (lambda net, *_: net.masks, r"must return Pruned(masks), got dict"),
    "dtype": (_with(**{"0_weight": torch.ones(8, 4)}), "mask of 0.weight must be torch.bool, (8, 4)"),
    "shape": (_with(**{"0_weight": torch.ones(2, dtype=torch.bool)}), "mask of 0.weight must be torch.bool, (8, 4)"),
    "name": (_with(**{"9_weight": torch.ones(2, dtype=torch.bool)}), "'9.weight', which is no prunable weight"),
    "layer": (lambda net, *_: Pruned({"0.weight": net.masks["0.weight"]}), "there is no mask for 3.weight"),
    "nan": (
        lambda net, *_: Pruned(net.masks, {"3.weight": torch.full((3, 8), torch.nan)}),
        "the values of 3.weight are not all finite",
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_broken_rule_is_one_line_that_names_method_and_rule(rule: str) -> None:
    prune, message = RULES[rule]
    net = _net()
    mask = torch.ones(8, 4, dtype=torch.bool)
    mask[0, 0] = False
    net.apply({"0.weight": mask})
    with pytest.raises(MethodError) as caught:
        decide(_method(prune), net, BATCHES, Prune(None))
    assert message in str(caught.value)
    assert str(caught.value).startswith("Method.prune")
    assert "\n" not in str(caught.value)


def test_a_method_that_keeps_the_rules_passes_and_leaves_everything_as_it_was() -> None:
    net = _net()
    net.module.train()
    before = digest(net.module.state_dict())
    pruned = decide(_method(lambda net, *_: Pruned(dict(net.masks))), net, BATCHES, Prune(None))
    assert pruned.masks.keys() == net.masks.keys()
    assert digest(net.module.state_dict()) == before
    assert net.module.training


def test_a_spared_weight_is_not_pruned_by_anybody() -> None:
    net = MaskedModel(_net().module, spare=["3.weight"])
    spared = {"3.weight": torch.zeros(3, 8, dtype=torch.bool)}
    with pytest.raises(MethodError, match=r"prunes 3.weight, which is spared"):
        decide(_method(lambda net, *_: Pruned({**net.masks, **spared})), net, BATCHES, Prune(None))


@dataclass(frozen=True, kw_only=True)
class Scored(ScoredPruner):
    """Scores that a test gives."""

    how: Any = None

    def score(self, net: MaskedModel, batches: Batches) -> Scores:
        return self.how(net)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda net: {}, "there is no score for 0.weight"),
        (lambda net: {n: w[0] for n, w in net.weights.items()}, "score of 0.weight must be floating point, (8, 4)"),
        (lambda net: {n: w > 0 for n, w in net.weights.items()}, "must be floating point"),
        (lambda net: {n: w / 0 for n, w in net.weights.items()}, "scores of 0.weight are not all finite"),
        (lambda net: {**net.weights, "1.weight": torch.ones(8)}, "'1.weight', which is no prunable weight"),
    ],
)
def test_a_score_that_does_not_fit_is_told_with_its_layer(how: Callable[..., Any], message: str) -> None:
    with pytest.raises(MethodError) as caught:
        decide(Scored(sparsity=0.5, how=how), _net(), BATCHES, Prune(0.5))
    assert message in str(caught.value)


def test_a_target_of_zero_keeps_all_there_is_and_asks_nobody() -> None:
    net = _net()
    net.apply({"0.weight": torch.rand(8, 4) > 0.5})
    pruned = decide(_method(lambda *_: 1 / 0), net, BATCHES, Prune(0.0))
    assert digest(pruned.masks) == digest(net.masks)


def test_a_missed_target_fails() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Short(Scored):
        def prune(self, net: MaskedModel, batches: Batches, phase: Prune) -> Pruned:
            return Pruned(dict(net.masks))

    with pytest.raises(MethodError, match=r"Short.prune: the target sparsity 0.5 is missed: 56 of 56 weights"):
        decide(Short(sparsity=0.5), _net(), BATCHES, Prune(0.5))


@dataclass(frozen=True, kw_only=True)
class Exchanging(SparseTraining):
    """Grows at random."""

    def grow_score(self, net: MaskedModel, batches: Batches) -> Scores:
        return {name: torch.rand_like(w) for name, w in net.weights.items()}


def test_an_exchange_may_revive_its_share_and_no_more() -> None:
    net = _net()
    first = decide(Exchanging(sparsity=0.5), net, BATCHES, Prune(0.5))
    net.apply(first.masks)
    second = decide(Exchanging(sparsity=0.5), net, BATCHES, Prune(0.5, swap=0.3))
    revived = {name: int((second.masks[name] & ~mask).sum()) for name, mask in net.masks.items()}
    assert revived == {name: int(0.3 * int(mask.sum())) for name, mask in net.masks.items()}

    def greedy(net: MaskedModel, batches: Batches, phase: Prune) -> Pruned:
        return Exchanging(sparsity=0.5).prune(net, batches, Prune(0.5, swap=0.9))

    with pytest.raises(MethodError, match="this phase lets it exchange 1"):
        decide(_method(greedy), net, BATCHES, Prune(None, swap=0.1))


PLANS = {
    "empty": ([], "a list of Train, Prune and Rewind that is not empty"),
    "strings": (["train"], "a list of Train, Prune and Rewind"),
    "nothing": (None, "got None"),
    "no step": ([Train(5, 5)], "trains no step"),
    "target": ([Prune(1.0), Train(0, 9)], r"in \[0, 1\), got \[1.0\]"),
    "falling": ([Prune(0.9), Train(0, 9), Prune(0.5)], r"fall, \[0.9, 0.5\]"),
    "exchange": ([Prune(0.9), Train(0, 9), Prune(0.9, swap=0.1)], "takes a SparseTraining"),
}


def _planned(base: Any, phases: Any) -> Pruner:
    @dataclass(frozen=True, kw_only=True)
    class Planned(base):
        def plan(self, steps: int) -> list[Phase]:
            return phases

    return Planned(sparsity=0.9)


@pytest.mark.parametrize("case", PLANS)
def test_a_plan_that_no_run_can_carry_out_is_refused_before_training(case: str) -> None:
    plan, message = PLANS[case]
    with pytest.raises(MethodError, match=message):
        checked_plan(_planned(Scored if case == "exchange" else Exchanging, plan), 9)


def test_n_of_m_is_not_reached_in_steps() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Stepwise(Scored):
        def plan(self, steps: int) -> list[Phase]:
            return [Prune(0.25), Train(0, steps), Prune(0.5)]

    assert len(checked_plan(Stepwise(sparsity=0.5), 9)) == 3
    with pytest.raises(UserError, match=r"2:4 is reached at once, not by steps \[0.25, 0.5\]; set pruner.rounds to 1"):
        checked_plan(Stepwise(sparsity=0.5, structure="2:4"), 9)


def test_training_longer_than_the_schedule_is_allowed() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Long(Scored):
        def plan(self, steps: int) -> list[Phase]:
            return [Prune(0.5), Train(0, 3 * steps)]

    assert checked_plan(Long(sparsity=0.5), 10)[1] == Train(0, 30)


def test_a_class_without_a_hook_or_without_the_decorator_is_no_method() -> None:
    class Forgot(Scored):
        more: float = 0.5

    class Abstract(ScoredPruner):
        pass

    with pytest.raises(UserError, match=r"declares more but is no dataclass; write @dataclass"):
        check_class(Forgot, "f.py:Forgot")
    with pytest.raises(UserError, match="must define score"):
        check_class(Abstract, "f.py:Abstract")
    check_class(Scored, "f.py:Scored")


def test_the_knob_is_a_field_of_the_method() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Decaying(Scored):
        knob: ClassVar[str] = "decay"
        decay: float = 0.1

    @dataclass(frozen=True, kw_only=True)
    class Nameless(Scored):
        knob = "lambda"

    @dataclass(frozen=True, kw_only=True)
    class Optional(Scored):
        knob: str = "sparsity"  # pyright: ignore[reportIncompatibleVariableOverride]

    check_class(Decaying, "f.py:Decaying")
    with pytest.raises(UserError, match=r"Optional.knob must name the field"):
        check_class(Optional, "f.py:Optional")
    with pytest.raises(UserError, match=r"Nameless.knob must name the field .* one of .*sparsity.*; got 'lambda'"):
        check_class(Nameless, "f.py:Nameless")


def test_filters_are_refused_before_training_where_none_can_go() -> None:
    net = MaskedModel(nn.Sequential(nn.Linear(4, 3)))
    with pytest.raises(UserError, match="no layer of this network has units that can go"):
        check_possible(Scored(sparsity=0.5, structure="filters"), net, BATCHES[0][0][:1])


def test_gradients_for_scores_leave_no_trace() -> None:
    net = _net()
    decide(Scored(sparsity=0.5, how=lambda net: loss_gradients(net, BATCHES)), net, BATCHES, Prune(0.5))
    assert all(p.grad is None and p.requires_grad for p in net.module.parameters())
