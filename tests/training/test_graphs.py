"""Steps replayed as a CUDA graph are the steps themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from benchmark.config.settings import Recipe
from benchmark.network.masked_model import MaskedModel
from benchmark.training.graphs import WARM_UP, StepGraph
from benchmark.training.loop import clear_masked_state, make_optimizer, train_steps

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]
STEPS = 8


class Network(nn.Module):
    """Convolution, batch norm, dropout; where it `looks` or `draws`, a decision by a value, which no graph can hold."""

    def __init__(self, looks: bool = False, draws: bool = False) -> None:
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout(0.5)
        self.fc, self.looks = nn.Linear(8 * 36, 5), looks
        self.draws = draws

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(torch.relu(self.norm(self.conv(x))))
        if self.looks and x.sum().item() > 1e9:
            x = x * 2
        if self.draws and torch.rand(()) < 0.5:
            x = x * 2
        return self.fc(x.flatten(1))


@pytest.fixture(autouse=True)
def _deterministic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def _trained(optimizer: str, graph: StepGraph | None, **how: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Losses and tensors after two windows of steps, a pruning and two more."""
    torch.manual_seed(0)
    net = MaskedModel(Network(**how).cuda())
    made = make_optimizer(net, Recipe(optimizer=optimizer, lr=0.01))  # pyright: ignore[reportArgumentType]
    generator = torch.Generator().manual_seed(1)
    losses = []
    for window in range(4):
        if window == 2:
            net.apply({n: (torch.rand(m.shape, generator=generator) > 0.5).cuda() for n, m in net.masks.items()})
            clear_masked_state(net, made)
        batches = [
            (torch.randn(16, 3, 8, 8, generator=generator).cuda(), torch.randint(5, (16,), generator=generator).cuda())
            for _ in range(STEPS)
        ]
        rates = [0.01 / (1 + step) for step in range(STEPS)]
        losses.append(train_steps(net, made, batches, rates, seeds=list(range(STEPS)), graph=graph))
    for name, mask in net.masks.items():
        assert not net.tensor(name)[~mask].any()
    assert all(isinstance(group["lr"], float) for group in made.param_groups)
    return torch.cat(losses), net.tensors()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_replayed_steps_equal_those_taken_one_by_one(optimizer: str) -> None:
    graph = StepGraph(torch.device("cuda"))
    losses, tensors = _trained(optimizer, graph)
    assert graph._captured is not None
    assert graph._taken == 2 * STEPS > WARM_UP  # those since the pruning
    other_losses, other = _trained(optimizer, None)
    assert torch.equal(losses, other_losses)
    assert all(torch.equal(tensors[name], other[name]) for name in other)


@pytest.mark.parametrize("how", ["looks", "draws"])
def test_a_network_that_cannot_be_captured_is_trained_step_by_step(
    how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    losses, _ = _trained("sgd", StepGraph(torch.device("cuda")), **{how: True})
    assert "one by one" in capsys.readouterr().err
    assert torch.equal(losses, _trained("sgd", None, **{how: True})[0])
