"""NNrelief's first round on families far from the paper's, after some training on made-up data."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from baselines.nnrelief import method
from baselines.nnrelief.method import NNrelief
from benchmark.models.registry import build_model
from benchmark.network.masked_model import MaskedModel
from benchmark.pruning import Prune

FAMILIES = {  # the side of the images
    "timm/mobilevit_xxs": 64, "timm/coat_lite_tiny": 32, "timm/swin_tiny_patch4_window7_224": 32,
    "timm/xcit_nano_12_p16_224": 32, "timm/convmixer_768_32": 32,
}  # fmt: skip
STEPS = 12


def _trained(name: str, side: int) -> MaskedModel:
    module = build_model(name, 7, 0, shape=(3, side, side)).train()
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.randn(7, 3, side, side, generator=generator)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    for _ in range(STEPS):
        labels = torch.randint(7, (8,), generator=generator)
        inputs = prototypes[labels] + torch.randn(8, 3, side, side, generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(module(inputs), labels).backward()
        optimizer.step()
    return MaskedModel(module.eval())


def _vanished(net: MaskedModel, alpha: float, side: int) -> list[str]:
    batches = [(torch.randn(8, 3, side, side, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 7)]
    masks = NNrelief(alpha_conv=alpha, alpha_fc=alpha).prune(net, batches, Prune(None)).masks
    return [name for name in net.weights if not masks[name].any()]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("name", "side"), FAMILIES.items())
def test_no_layer_of_a_trained_network_vanishes_but_in_a_branch_that_its_addition_outweighs(
    name: str, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    net = _trained(name, side)
    assert _vanished(net, 1.0, side) == []
    with_balance = _vanished(net, 0.9, side)
    monkeypatch.setattr(method, "_outweighed", lambda record, alpha: {})
    without_balance = _vanished(net, 0.9, side)
    assert without_balance == [], (with_balance, without_balance)
