"""What NNrelief owes to its parts: the options that leave one out."""

from __future__ import annotations

import torch
from torch import nn

from baselines.nnrelief.method import NNrelief
from benchmark.network.masked_model import MaskedModel
from benchmark.pruning import Prune

BATCHES = [(torch.ones(2, 3), torch.tensor([0, 1]))]


def _masks(pruner: NNrelief) -> tuple[list[list[bool]], list[bool]]:
    """Of two output units, with signals (6, 3, 1) and (4, 4, 0.5), biases 6 and 0.1."""
    layer = nn.Linear(3, 2)
    layer.weight.data = torch.tensor([[6.0, -3.0, 1.0], [4.0, 4.0, -0.5]])
    layer.bias.data = torch.tensor([6.0, 0.1])
    masks = pruner.prune(MaskedModel(nn.Sequential(layer)), BATCHES, Prune(None)).masks
    return masks["0.weight"].tolist(), masks["0.bias"].tolist()


def test_biases_compete_with_the_weights_of_their_unit() -> None:
    # Unit 0: of 16, 0.7 is 11.2; prefix sums 6, 12: p = 1, t = 2, above 3 stay. Unit 1: of 8.6, 6.02; 4, 8: t = 2.
    assert _masks(NNrelief(alpha_fc=0.7)) == ([[True, False, False], [True, True, False]], [True, False])


def test_without_biases_weights_carry_the_share_alone_and_biases_stay() -> None:
    # Unit 0: of 10, 7; prefix sums 6, 9: t = 2, above 1 stay. Unit 1: of 8.5, 5.95; 4, 8: t = 2.
    assert _masks(NNrelief(alpha_fc=0.7, biases=False)) == ([[True, True, False], [True, True, False]], [True, True])


def test_globally_the_largest_shares_of_all_units_carry_the_share_of_all_signals() -> None:
    # Shares .6 .3 .1 and .471 .471 .059 of 2: 0.7 is 1.4; prefix sums .6, 1.071, 1.541: p = 2, t = 3, above .3 stay.
    pruner = NNrelief(alpha_fc=0.7, biases=False, selection="global")
    assert _masks(pruner) == ([[True, False, False], [True, True, False]], [True, True])
    # With biases: .375 .188 .063 .375 and .465 .465 .058 .012; .465 .930 1.305 1.68: p = 3, t = 4, above .188 stay.
    assert _masks(NNrelief(alpha_fc=0.7, selection="global")) == (
        [[True, False, False], [True, True, False]],
        [True, False],
    )


def test_globally_layers_of_one_kind_compete_and_a_narrow_one_keeps_more() -> None:
    torch.manual_seed(0)
    net = MaskedModel(nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4)))
    batches = [(torch.rand(8, 64), torch.zeros(8, dtype=torch.long))]
    densities = {}
    for selection in ("unit", "global"):
        masks = NNrelief(alpha_fc=0.8, selection=selection).prune(net, batches, Prune(None)).masks
        densities[selection] = float(masks["2.weight"].float().mean())
    assert densities["global"] > densities["unit"]
