"""Removing dead units: what goes is what was worked out by hand, and nothing else is touched."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from benchmark.metrics.flops import dense_flops, structural_flops
from benchmark.models.lenet import LeNet5
from benchmark.models.resnet import OptionA, ResNet
from benchmark.network.masked_model import MaskedModel
from benchmark.network.removal import SelectChannels, shrink
from tests.network.shrinking import Gated, Residual, assert_shrinks, head, kill, pruned, randomise, sizes


def lenet_5() -> MaskedModel:
    torch.manual_seed(0)
    return MaskedModel(randomise(LeNet5(), torch.Generator().manual_seed(0)))


def test_dead_filters_and_neurons_take_their_kernels_and_columns_with_them() -> None:
    net = lenet_5()
    kill(net, "conv1", [0, 3])
    kill(net, "conv2", list(range(10)))
    kill(net, "fc1", list(range(100)))
    smaller = assert_shrinks(net, (1, 28, 28))
    assert sizes(smaller) == {"conv1": (18, 1, 5, 5), "conv2": (40, 18, 5, 5), "fc1": (400, 640), "fc2": (10, 400)}
    by_hand = 24**2 * 18 * 25 + 8**2 * 40 * 18 * 25 + 640 * 400 + 400 * 10
    assert structural_flops(shrink(net, (1, 28, 28)), (1, 28, 28)).total == by_hand


def test_a_unit_that_nobody_reads_is_dead_and_so_is_what_only_it_read() -> None:
    net = lenet_5()
    reads = torch.ones(10, 500, dtype=torch.bool)
    reads[:, 100:] = False  # neurons 100.. of fc1 are unread
    columns = torch.ones(500, 800, dtype=torch.bool)
    columns[:100, : 16 * 30] = False  # filters ..29 of conv2 are read by unread neurons only
    net.apply({"fc2.weight": reads, "fc1.weight": columns})
    smaller = assert_shrinks(net, (1, 28, 28))
    assert sizes(smaller) == {"conv1": (20, 1, 5, 5), "conv2": (20, 20, 5, 5), "fc1": (100, 320), "fc2": (10, 100)}


def test_death_spreads_forwards_through_a_layer_that_reads_only_dead_units() -> None:
    net = MaskedModel(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)))
    kill(net, "0", [0, 1])
    reads = torch.ones(5, 4, dtype=torch.bool)
    reads[:3, 2:] = False  # three neurons read the two dead ones only
    net.apply({"2.weight": reads})
    assert sizes(assert_shrinks(net, (3,))) == {"0": (2, 3), "2": (2, 2), "4": (2, 2)}


def test_a_live_bias_is_folded_into_a_layer_that_does_not_pad() -> None:
    net = lenet_5()
    kill(net, "conv1", [0, 1, 2], bias=False)
    kill(net, "fc1", list(range(50)), bias=False)
    smaller = assert_shrinks(net, (1, 28, 28))
    assert sizes(smaller)["conv1"][0] == 17
    assert sizes(smaller)["fc1"][0] == 450


def padded(norm: bool) -> MaskedModel:
    torch.manual_seed(0)
    second = nn.BatchNorm2d(4) if norm else nn.Identity()
    module = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), second, nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1), *head(3))
    return MaskedModel(randomise(module, torch.Generator().manual_seed(0)))


def test_a_constant_before_zero_padding_is_live_unless_it_is_zero() -> None:
    net = padded(norm=False)
    net.module.get_parameter("0.bias").data = torch.tensor([0.5, 0.5, -0.5, 0.0])
    kill(net, "0", [1, 2, 3], bias=False)  # they emit relu(0.5), relu(-0.5) and relu(0)
    assert sizes(assert_shrinks(net, (1, 6, 6)))["0"][0] == 2


def test_a_constant_layer_before_zero_padding_keeps_its_border() -> None:
    net = padded(norm=False)
    kill(net, "0", [0, 1, 2, 3], bias=False)
    assert_shrinks(net, (1, 6, 6))


def test_a_live_batch_norm_keeps_a_filter_without_kernels_and_a_masked_one_does_not() -> None:
    net = padded(norm=True)
    net.module.get_parameter("1.bias").data.fill_(1.0)
    kill(net, "0", [0, 1])
    net.module.get_buffer("1.running_mean").zero_()
    assert sizes(assert_shrinks(net, (1, 6, 6)))["0"][0] == 4
    net.apply({"1.bias": torch.tensor([False, True, True, True])})
    assert sizes(assert_shrinks(net, (1, 6, 6)))["0"][0] == 3


def test_a_masked_batch_norm_weight_cuts_a_live_filter_off() -> None:
    net = padded(norm=True)
    cut = torch.tensor([False, True, True, True])
    net.apply({"1.weight": cut, "1.bias": cut})
    assert sizes(assert_shrinks(net, (1, 6, 6)))["0"][0] == 3


class Scaled(nn.Module):
    """A hidden layer under a scale and a shift for each channel, as in ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)
        self.scale, self.shift = nn.Parameter(torch.full((4,), 0.5)), nn.Parameter(torch.zeros(1, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x) * self.scale + self.shift)


def test_a_masked_layer_scale_cuts_a_unit_off_and_a_zero_one_does_not() -> None:
    net = MaskedModel(Scaled())
    nn.init.zeros_(net.module.get_parameter("scale"))
    net.apply({"scale": torch.tensor([False, False, True, True])})
    net.apply({"shift": torch.tensor([[False, True, False, True]])})
    smaller = assert_shrinks(net, (3,))
    assert sizes(smaller) == {"first": (3, 3), "last": (2, 3)}
    assert smaller.get_parameter("scale").shape == (3,)
    assert smaller.get_parameter("shift").shape == (1, 3)


def test_masks_count_and_zero_values_do_not() -> None:
    net = padded(norm=True)
    nn.init.zeros_(net.module.get_parameter("0.weight"))
    nn.init.zeros_(net.module.get_parameter("1.weight"))
    nn.init.zeros_(net.module.get_parameter("1.bias"))
    assert sizes(shrink(net, (1, 6, 6)).module) == sizes(net.module)


def test_a_residual_stream_loses_a_channel_only_when_no_branch_feeds_it() -> None:
    torch.manual_seed(0)
    stem, block = nn.Conv2d(2, 4, 3, padding=1), Residual(4, 4, False, nn.ReLU)
    net = MaskedModel(nn.Sequential(stem, block, *head(4)))
    kill(net, "0", [0, 1])
    kill(net, "1.body.3", [1, 2])
    smaller = assert_shrinks(net, (2, 6, 6))
    assert sizes(smaller) == {"0": (3, 2, 3, 3), "1.body.0": (5, 3, 3, 3), "1.body.3": (3, 5, 3, 3), "4": (4, 3)}


def test_a_grouped_conv_keeps_groups_of_equal_size() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 12, 1), nn.Conv2d(12, 12, 3, groups=3), nn.ReLU(), *head(12))
    net = MaskedModel(module)
    kill(net, "0", [0, 1, 2, 3, 4, 5, 8])  # all of group 0, two of group 1, one of group 2
    kill(net, "1", [0, 1, 2, 3, 4])
    smaller = assert_shrinks(net, (2, 5, 5))
    assert sizes(smaller) == {"0": (6, 2, 1, 1), "1": (8, 3, 3, 3), "5": (4, 8)}
    grouped = smaller.get_submodule("1")
    assert isinstance(grouped, nn.Conv2d)
    assert grouped.groups == 2


def test_a_dead_squeeze_and_excitation_channel_takes_its_gate_with_it() -> None:
    torch.manual_seed(0)
    net = MaskedModel(randomise(nn.Sequential(Gated(4, nn.Sigmoid), *head(8)), torch.Generator().manual_seed(0)))
    kill(net, "0.depthwise", [0, 4], bias=False)
    net.module.get_buffer("0.norm.running_mean").zero_()
    kept = torch.arange(8) % 4 > 0
    net.apply({"0.norm.bias": kept})
    found = sizes(assert_shrinks(net, (4, 5, 5)))
    assert found["0.expand"][0] == found["0.depthwise"][0] == found["0.squeeze.2"][0] == 6
    assert found["0.project"] == (4, 3, 3, 3)


def test_a_layer_never_loses_its_last_unit() -> None:
    net = lenet_5()
    net.apply({name: torch.zeros_like(mask) for name, mask in net.masks.items()})
    assert all(0 not in shape for shape in sizes(assert_shrinks(net, (1, 28, 28))).values())


def test_nothing_goes_where_nothing_is_masked() -> None:
    net = lenet_5()
    assert sizes(shrink(net, (1, 28, 28)).module) == sizes(net.module)
    assert structural_flops(shrink(net, (1, 28, 28)), (1, 28, 28)) == dense_flops(net.module, (1, 28, 28))


def test_shrinking_twice_is_shrinking_once() -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Conv2d(2, 6, 3), Residual(6, 6, True, nn.ReLU), Gated(6, nn.Sigmoid), *head(12))
        once = assert_shrinks(pruned(module, seed, weights=0.3), (2, 7, 7))
        again = MaskedModel(once)
        again.apply({name: w != 0 for name, w in again.tensors().items() if name in again.weights})
        assert sizes(assert_shrinks(again, (2, 7, 7))) == sizes(once)


def test_the_original_is_left_as_it_was() -> None:
    net = pruned(Residual(4, 4, True, nn.ReLU), seed=0)
    net.module.train()
    before = {name: t.clone() for name, t in net.module.state_dict().items()}
    masks = {name: m.clone() for name, m in net.masks.items()}
    random = torch.get_rng_state()
    shrink(net, (4, 6, 6))
    assert net.module.training
    assert all(torch.equal(t, before[name]) for name, t in net.module.state_dict().items())
    assert all(torch.equal(m, masks[name]) for name, m in net.masks.items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.module.modules())
    assert torch.equal(torch.get_rng_state(), random)


def test_a_shortcut_with_zero_padding_loses_dead_channels_on_both_sides() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.shortcut = nn.Conv2d(2, 4, 3, padding=1), OptionA(4, 8, 2)
            self.body, self.fc = nn.Conv2d(4, 8, 3, stride=2, padding=1), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.stem(x))
            return self.fc(torch.relu(self.body(x) + self.shortcut(x)).mean((2, 3)))

    torch.manual_seed(0)
    net = MaskedModel(Net())
    kill(net, "stem", [3])  # becomes output channel 5
    kill(net, "body", [0, 3, 4, 5])
    gate = torch.ones(8, dtype=torch.bool)
    gate[4] = False  # input channel 2
    net.apply({"shortcut.gate": gate})
    smaller = assert_shrinks(net, (2, 8, 8))
    assert sizes(smaller) == {"stem": (3, 2, 3, 3), "body": (5, 3, 3, 3), "fc": (3, 5)}
    assert isinstance(smaller.shortcut, SelectChannels)
    assert smaller.shortcut.index.tolist() == [-1, 0, 1, -1, -1]


# Collapsed: the output no longer depends on the input.


def emptied(module: nn.Module, *names: str) -> MaskedModel:
    """The network without any weight in the layers `names`; their biases and batch norms are live."""
    net = MaskedModel(randomise(module, torch.Generator().manual_seed(0)))
    net.apply({f"{name}.weight": torch.zeros_like(net.masks[f"{name}.weight"]) for name in names})
    return net


def test_an_empty_block_that_a_shortcut_goes_around_is_no_collapse() -> None:
    torch.manual_seed(0)
    module = ResNet(8)
    assert not shrink(emptied(module, "layers.1.conv1", "layers.1.conv2"), (3, 16, 16)).collapsed
    assert shrink(emptied(module, "conv1"), (3, 16, 16)).collapsed


def test_a_block_whose_shortcut_is_masked_as_well_is_a_collapse() -> None:
    net = emptied(ResNet(8), "layers.1.conv2")
    net.apply({"layers.1.shortcut.gate": torch.zeros(32, dtype=torch.bool)})
    assert shrink(net, (3, 16, 16)).collapsed


@pytest.mark.parametrize("name", ["conv1", "conv2", "fc1", "fc2"])
def test_an_empty_layer_with_no_way_around_it_is_a_collapse(name: str) -> None:
    assert shrink(emptied(LeNet5(), name), (1, 28, 28)).collapsed


def test_kept_weights_that_do_not_meet_are_a_collapse() -> None:
    net = MaskedModel(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
    net.apply({"0.weight": torch.tensor([1, 1, 0, 0]).bool().view(4, 1).expand(4, 3)})
    net.apply({"2.weight": torch.tensor([0, 0, 1, 1]).bool().expand(2, 4)})
    assert shrink(net, (3,)).collapsed
    net.apply({"2.weight": torch.tensor([0, 1, 1, 1]).bool().expand(2, 4)})
    assert not shrink(net, (3,)).collapsed


def test_a_constant_that_padding_makes_uneven_does_not_depend_on_the_input() -> None:
    assert shrink(emptied(padded(norm=True).module, "0"), (1, 6, 6)).collapsed


def test_masks_say_what_is_collapsed_where_values_leave_nothing() -> None:
    net = MaskedModel(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
    nn.init.zeros_(net.module.get_parameter("0.weight"))
    assert not shrink(net, (3,)).collapsed


class Normalised(nn.Module):
    """Layer norm, which is not understood, between two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.norm(self.first(x)))


@pytest.mark.parametrize("name", ["first", "last"])
def test_outputs_say_what_is_collapsed_where_an_operator_is_not_understood(name: str) -> None:
    assert not shrink(emptied(Normalised()), (3,)).collapsed
    assert shrink(emptied(Normalised(), name), (3,)).collapsed
