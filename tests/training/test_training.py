"""Training steps: masks under every optimiser, the schedule, evaluation, divergence."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from benchmark.config.settings import Recipe
from benchmark.errors import Diverged, UserError
from benchmark.metrics.accuracy import evaluate
from benchmark.network.masked_model import MaskedModel
from benchmark.training.loop import clear_masked_state, learning_rate, make_optimizer, train_steps
from benchmark.training.soft import cross_entropy

DRAWN = torch.Generator().manual_seed(0)
BATCHES = [(torch.randn(8, 4, generator=DRAWN), torch.randint(3, (8,), generator=DRAWN)) for _ in range(5)]


def _net() -> MaskedModel:
    torch.manual_seed(0)
    return MaskedModel(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_masked_weights_and_their_optimiser_state_stay_exactly_zero(optimizer: str) -> None:
    net = _net()
    recipe = Recipe(optimizer=optimizer, lr=0.1, weight_decay=0.1)  # type: ignore[arg-type]
    made = make_optimizer(net, recipe)
    train_steps(net, made, BATCHES, [0.1] * 5)  # momentum and moments that a mask then has to stop
    masks = {name: torch.rand(mask.shape) > 0.5 for name, mask in net.masks.items()}
    masks["1.weight"] = torch.tensor([True, False] * 3)
    net.apply(masks)
    clear_masked_state(net, made)
    for batch in BATCHES:
        train_steps(net, made, [batch], [0.1])
        for name, mask in net.masks.items():
            parameter = dict(net.module.named_parameters())[name]
            assert (parameter[~mask] == 0).all()
            assert parameter[mask].abs().sum() > 0
            state = [v for v in made.state[parameter].values() if torch.is_tensor(v) and v.shape == mask.shape]
            assert state
            assert all((value[~mask] == 0).all() for value in state)


def test_training_with_masks_equals_masking_weights_and_gradients_by_hand() -> None:
    net, slow = _net(), _net()
    mask = torch.rand(6, 4, generator=torch.Generator().manual_seed(1)) > 0.5
    net.apply({"0.weight": mask})
    recipe = Recipe(optimizer="sgd", lr=0.1)
    made, by_hand = (
        make_optimizer(net, recipe),
        torch.optim.SGD(slow.module.parameters(), 0.1, 0.9, weight_decay=5e-4),
    )
    train_steps(net, made, BATCHES, [0.1] * 5)
    layer = slow.module[0]  # type: ignore[index]
    slow.module.train()
    for inputs, labels in BATCHES:
        layer.weight.data *= mask
        loss = nn.functional.cross_entropy(slow.module(inputs), labels)
        by_hand.zero_grad()
        loss.backward()
        layer.weight.grad *= mask
        by_hand.step()
    for fast, other in zip(net.module.parameters(), slow.module.parameters(), strict=True):
        assert torch.allclose(fast, other, atol=1e-6)


def test_the_learning_rate_falls_where_the_recipe_says() -> None:
    recipe = Recipe(lr=1.0, decay_at=(0.5, 0.75), decay_factor=0.1)
    rates = [learning_rate(recipe, step, 8) for step in range(8)]
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_the_learning_rate_rises_and_falls_as_the_recipe_says() -> None:
    triangular = Recipe(lr=1.0, schedule="triangular", warmup=0.25)
    rates = [learning_rate(triangular, step, 8) for step in range(10)]
    assert rates == pytest.approx([0.5, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0.01, 0.01])
    cosine = Recipe(lr=2.0, schedule="cosine")
    rates = [learning_rate(cosine, step, 4) for step in range(6)]
    assert rates == pytest.approx([2, 1 + math.sqrt(0.5), 1, 1 - math.sqrt(0.5), 0.02, 0.02])
    warm = Recipe(lr=1.0, warmup=0.25)
    assert [learning_rate(warm, step, 8) for step in range(5)] == pytest.approx([0.5, 1, 1, 1, 0.1])


def test_nesterov_and_label_smoothing_reach_the_optimiser_and_the_loss() -> None:
    optimizer = make_optimizer(_net(), Recipe(optimizer="sgd", nesterov=True))
    assert optimizer.defaults["nesterov"]
    with pytest.raises(UserError, match="nesterov needs --train"):
        Recipe(nesterov=True)
    net, (inputs, labels) = _net(), BATCHES[0]
    logits = net.module(inputs).log_softmax(1)
    hard = -logits[torch.arange(len(labels)), labels].mean()
    wanted = 0.7 * hard - 0.3 * logits.mean()
    assert torch.allclose(cross_entropy(net, 0.3)(inputs, labels, 0), wanted)


def test_a_loss_that_is_not_finite_stops_with_its_first_step() -> None:
    bad = [(torch.full((8, 4), float("inf")), torch.zeros(8, dtype=torch.long))]
    with pytest.raises(Diverged) as caught:
        train_steps(_net(), make_optimizer(_net(), Recipe()), [*BATCHES[:2], *bad, *BATCHES[:1]], [0.1] * 4)
    assert caught.value.args == (2,)


def test_evaluation_counts_whole_examples() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [0.0, 1.0, 2.0]])
    found = evaluate(nn.Identity(), [(logits[:2], torch.tensor([0, 0])), (logits[2:], torch.tensor([2]))], classes=3)
    assert (found["top1"], found["correct"], found["total"]) == (2 / 3, 2, 3)
    assert found["loss"] == pytest.approx(nn.functional.cross_entropy(logits, torch.tensor([0, 0, 2])).item(), rel=1e-6)
    assert "top5" not in found


def test_top5_is_given_where_there_are_more_than_ten_classes() -> None:
    logits = torch.arange(12.0).expand(2, 12)
    found = evaluate(nn.Identity(), [(logits, torch.tensor([7, 6]))], classes=12)
    assert (found["top1"], found["top5"]) == (0, 0.5)
