from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.network.calls import LayerCall
from benchmark.network.masked_model import MaskedModel
from benchmark.network.signals import SignalRecord, small_batches
from benchmark.pruning.gradients import loss_gradients
from tests.baselines.nnrelief_reference import Residual

X = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 5


def batches(*sizes: int) -> list[tuple[Tensor, Tensor]]:
    return list(zip(X.split(list(sizes)), LABELS.split(list(sizes)), strict=True))


def plain() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 5))


def test_gradients_are_those_of_the_mean_loss_over_all_examples() -> None:
    net = MaskedModel(plain().eval())
    F.cross_entropy(net.module(X), LABELS).backward()
    expected = {name: copy.deepcopy(p.grad) for name, p in net.module.named_parameters() if name in net.weights}
    found = loss_gradients(net, batches(5, 4, 3))
    torch.testing.assert_close(found, expected)


def test_gradients_are_found_where_the_caller_has_switched_them_off() -> None:
    net = MaskedModel(plain())
    expected = loss_gradients(net, batches(12))
    with torch.no_grad():
        found = loss_gradients(net, batches(12))
        assert not torch.is_grad_enabled()
    assert all(expected[name].any() for name in net.weights)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_batch_norm_uses_the_statistics_of_each_batch() -> None:
    net = MaskedModel(Residual([4, 8]))
    expected = {name: torch.zeros_like(w) for name, w in net.weights.items()}
    trained = copy.deepcopy(net.module).train()
    for x, labels in batches(6, 6):
        loss = F.cross_entropy(trained(x), labels) / 2
        for name, gradient in zip(expected, torch.autograd.grad(loss, _weights(trained, net)), strict=True):
            expected[name] += gradient
    torch.testing.assert_close(loss_gradients(net, batches(6, 6)), expected)


def _weights(module: nn.Module, net: MaskedModel) -> list[Tensor]:
    return [dict(module.named_parameters())[name] for name in net.weights]


def test_gradients_leave_the_network_as_it_was() -> None:
    net = MaskedModel(Residual([4, 8]).train())
    net.module.get_submodule("layers.0").eval()
    net.module.get_parameter("fc.weight").grad = torch.ones(5, 8)
    net.module.get_parameter("conv1.weight").requires_grad_(False)
    modes = [part.training for part in net.module.modules()]
    state = copy.deepcopy(net.module.state_dict())
    found = loss_gradients(net, batches(12))
    assert found["conv1.weight"].any()
    assert [part.training for part in net.module.modules()] == modes
    for name, tensor in net.module.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    for name, p in net.module.named_parameters():
        assert p.requires_grad == (name != "conv1.weight")
        assert p.grad is None or (name == "fc.weight" and bool((p.grad == 1).all()))


def test_modes_are_restored_after_a_failed_forward() -> None:
    module = Residual([4]).eval()
    with pytest.raises(RuntimeError):
        loss_gradients(MaskedModel(module), [(torch.zeros(2, 7, 8, 8), LABELS[:2])])
    assert not any(part.training for part in module.modules())


def test_a_weight_that_the_loss_does_not_depend_on_has_gradient_zero() -> None:
    module = plain()
    module[0].unused = nn.Linear(2, 2)
    found = loss_gradients(MaskedModel(module), batches(12))
    assert found["0.unused.weight"].shape == (2, 2)
    assert not found["0.unused.weight"].any()


def test_spared_weights_have_no_gradient() -> None:
    assert set(loss_gradients(MaskedModel(plain(), spare=["4.weight"]), batches(12))) == {"1.weight"}


def test_chunks_hold_every_example_once_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.network.signals.CHUNK_ELEMENTS", 3 * 192)
    chunks = list(small_batches(batches(7, 5)))
    assert [len(inputs) for inputs, _ in chunks] == [3, 3, 1, 3, 2]
    assert torch.equal(torch.cat([inputs for inputs, _ in chunks]), X)
    assert torch.equal(torch.cat([labels for _, labels in chunks]), torch.cat([y for _, y in batches(7, 5)]))


def record(module: nn.Module, names: list[str], x: Tensor, parts: int = 1) -> tuple[SignalRecord, list[LayerCall]]:
    calls: list[LayerCall] = []
    found = SignalRecord(module.eval(), names, lambda call, inputs: calls.append(call))
    for part in x.chunk(parts):
        found.run(part)
    return found, calls


class Acts(nn.Module):
    """A convolution, its batch norm, and an activation function in one of many spellings."""

    def __init__(self, act: str) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(3, 2, 3, bias=False), nn.BatchNorm2d(2), act

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        match self.act:
            case "torch":
                x = torch.relu(x)
            case "method":
                x = x.relu()
            case "in place":
                x = x.relu_()
            case "functional":
                x = F.relu(x, inplace=x.size(0) > 0)
            case "clamp":
                x = x.clamp(min=0)
            case "module":
                x = nn.ReLU(inplace=True)(x)
        return x.mean((2, 3))


@pytest.mark.parametrize("act", ["torch", "method", "in place", "functional", "clamp", "module"])
def test_a_unit_emits_what_comes_out_of_its_activation_function(act: str) -> None:
    module = Acts(act)
    nn.init.constant_(module.norm.bias, -0.5)
    found, calls = record(module, ["conv"], X, parts=3)
    expected = torch.relu(module.norm(module.conv(X))).sum(0).flatten(1)
    (emitted,) = found.emitted["conv"].values()
    torch.testing.assert_close(emitted, expected)
    assert found.norms == {"conv": "norm"}
    assert [call.positions for call in calls] == [36] * 3


def test_a_unit_without_an_activation_function_emits_its_output() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    found, _ = record(module, ["1", "3"], X)
    torch.testing.assert_close(list(found.emitted["1"].values()), [module[:2](X).sum(0)[:, None]])
    torch.testing.assert_close(list(found.emitted["3"].values()), [module(X).sum(0)[:, None]])


def test_tokens_are_positions_of_what_a_linear_layer_emits() -> None:
    found, _ = record(nn.Sequential(nn.Linear(8, 2)), ["0"], X[:, 0])
    assert [emitted.shape for emitted in found.emitted["0"].values()] == [(2, 8)]


def test_both_sides_of_a_residual_addition_are_measured_before_they_are_added() -> None:
    module = Residual([4, 4])
    names = ["layers.1.conv1", "layers.1.conv2", "layers.1.shortcut.gate"]
    found, _ = record(module, names, X, parts=2)
    ((branch, shortcut),) = found.additions.values()
    x = module.layers[0](torch.relu(module.bn1(module.conv1(X))))
    block = module.layers[1]
    inner = torch.relu(block.get_submodule("bn1")(block.get_submodule("conv1")(x)))
    expected = block.get_submodule("bn2")(block.get_submodule("conv2")(inner))
    assert (branch[0], shortcut[0]) == ("layers.1.conv2", "layers.1.shortcut.gate")
    torch.testing.assert_close(branch[1], expected.abs().sum(0).flatten(1))
    torch.testing.assert_close(shortcut[1], x.abs().sum(0).flatten(1))
    for source in ("layers.1.conv2", "layers.1.shortcut.gate"):  # both emit what comes after the addition
        (emitted,) = found.emitted[source].values()
        torch.testing.assert_close(emitted, block(x).sum(0).flatten(1))


class Stream(nn.Module):
    """A residual stream without activation functions, added to in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x += self.branch(x)
        return x


def test_a_summand_that_something_else_reads_too_cannot_be_removed() -> None:
    module = Stream()
    found, _ = record(module, ["stem", "branch"], X)
    ((stream, branch),) = found.additions.values()
    assert (stream[0], branch[0]) == (None, "branch")
    torch.testing.assert_close(stream[1], module.stem(X).abs().sum(0).flatten(1))
    assert len(found.emitted["stem"]) == 2  # into the branch, and with it


class Kept(nn.Module):
    """A convolution that is read again after it was added, or twice before."""

    def __init__(self, after: bool) -> None:
        super().__init__()
        self.conv, self.after = nn.Conv2d(3, 3, 1), after

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        before = 0 if self.after else y.mean()
        total = y + x
        return total + (y.mean() if self.after else before)


@pytest.mark.parametrize("after", [False, True])
def test_a_summand_that_is_read_before_or_after_its_addition_cannot_be_removed(after: bool) -> None:
    found, _ = record(Kept(after), ["conv"], X, parts=2)
    assert [source for sides in found.additions.values() for source, _ in sides] == [None, None]


def test_a_layer_with_two_additions_is_a_summand_of_both() -> None:
    shared = nn.Conv2d(3, 3, 1)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = shared

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x + self.conv(x)) - torch.relu(2 * x + self.conv(x))

    found, _ = record(Twice(), ["conv"], X)
    assert [right[0] for _, right in found.additions.values()] == ["conv", "conv"]


class Cross(nn.Module):
    """Attention whose queries come from elsewhere, packed in one weight or with a weight each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, kdim=width, vdim=width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        keys = x[:, :, : self.attention.kdim]
        return self.attention(x[:, :2], keys, keys)[0]


def test_the_projections_of_attention_receive_what_query_key_and_value_are() -> None:
    names = [f"attention.{part}_proj" for part in ("in", "q", "k", "v", "out")]
    _, packed = record(Cross(8), names, X[:, 0])
    _, each = record(Cross(4), names, X[:, 0])
    short = [(call.name.rpartition(".")[2], call.first, tuple(call.weight.shape)) for call in packed + each]
    parts = [("in_proj", i, (8, 8)) for i in (0, 8, 16)]
    assert short[:4] == [*parts, ("out_proj", 0, (8, 8))]
    assert short[4:] == [("q_proj", 0, (8, 8)), ("k_proj", 0, (8, 4)), ("v_proj", 0, (8, 4)), ("out_proj", 0, (8, 8))]


def test_layers_that_are_not_asked_for_are_not_followed() -> None:
    found, calls = record(Residual([4]), ["fc"], X)
    assert set(found.emitted) == {"fc"}
    assert [call.name for call in calls] == ["fc"]
    assert not found.additions


class PreActivation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x) + x))


def test_a_batch_norm_after_an_addition_belongs_to_no_single_layer() -> None:
    found, _ = record(PreActivation(), ["conv"], X)
    assert found.norms == {}
