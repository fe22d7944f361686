"""Which weights are prunable, and networks that change them before use."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from benchmark.errors import UserError
from benchmark.models.registry import build_model
from benchmark.network.layers import layers
from benchmark.network.masked_model import MaskedModel
from benchmark.network.weights import check_weights


def test_the_projections_inside_attention_are_layers_with_their_own_names() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.MultiheadAttention(4, 2))
    found = [(layer.name, layer.weight, layer.bias) for layer in layers(module)]
    assert found == [
        ("0", "0.weight", "0.bias"),
        ("1.in_proj", "1.in_proj_weight", "1.in_proj_bias"),
        ("1.out_proj", "1.out_proj.weight", "1.out_proj.bias"),
    ]
    assert MaskedModel(module, spare=["*in_proj*"]).masks.keys() == {"0.weight", "1.out_proj.weight"}


def test_projections_of_different_widths_are_three_layers_whose_bias_is_none_of_theirs() -> None:
    found = layers(nn.MultiheadAttention(4, 2, kdim=3, vdim=5))
    assert [layer.weight for layer in found] == ["q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"]
    assert [layer.bias for layer in found] == [None, None, None, "out_proj.bias"]


class Standardised(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        mean, std = self.weight.mean((1, 2, 3), keepdim=True), self.weight.std((1, 2, 3), keepdim=True)
        return F.conv2d(input, (self.weight - mean) / std, self.bias)


class Turned(nn.Linear):
    """The weight itself, seen from another side."""

    def forward(self, input: Tensor) -> Tensor:
        return input @ self.weight.t().contiguous()


def network(first: nn.Module) -> nn.Sequential:
    return nn.Sequential(first, nn.Conv2d(2, 2, 1), nn.Flatten(), Turned(8, 3))


def test_a_network_that_standardises_its_weights_is_refused_with_the_way_on() -> None:
    net = MaskedModel(network(Standardised(1, 2, 3)))
    with pytest.raises(UserError, match=r"^1 weight.* changed before they are used .* --spare 0\.weight$"):
        check_weights(net, (1, 4, 4))
    check_weights(MaskedModel(net.module, spare=["0.weight"]), (1, 4, 4))


@pytest.mark.parametrize("change", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_a_weight_computed_from_other_parameters_is_refused_unless_spared(
    change: Callable[[nn.Module], nn.Module],
) -> None:
    module = network(change(nn.Conv2d(1, 2, 3)))
    with pytest.raises(UserError, match=r"--spare 0\.weight$"):
        check_weights(MaskedModel(module), (1, 4, 4))
    net = MaskedModel(module, spare=["0.weight"])
    check_weights(net, (1, 4, 4))
    assert list(net.masks) == ["1.weight", "3.weight"]


def test_the_layers_of_a_standardised_network_of_timm_are_named_by_patterns() -> None:
    module = build_model("timm/nf_resnet26", 3, 0, shape=(3, 32, 32))
    with pytest.raises(UserError, match=r"'stages\.\*\.\*\.conv\*\.weight'$") as error:
        check_weights(MaskedModel(module), (3, 32, 32))
    spare = str(error.value).rpartition("--spare ")[2].replace("'", "").split()
    net = MaskedModel(module, spare)
    check_weights(net, (3, 32, 32))
    assert list(net.masks) == ["head.fc.weight"]


@pytest.mark.parametrize("name", ["resnetv2_50d_gn", "vit_tiny_patch16_224", "mobilenetv2_035"])
def test_networks_that_use_their_weights_as_they_are_pass_and_stay_as_they_were(name: str) -> None:
    module = build_model(f"timm/{name}", 3, 0, shape=(3, 32, 32)).train()
    before = {key: t.clone() for key, t in module.state_dict().items()}
    check_weights(MaskedModel(module), (3, 32, 32))
    assert all(part.training for part in module.modules())
    assert all(torch.equal(t, before[key]) for key, t in module.state_dict().items())


def test_attention_and_its_fast_path_use_their_weights_as_they_are() -> None:
    module = nn.Sequential(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), nn.Flatten(), nn.Linear(12, 2))
    check_weights(MaskedModel(module), (3, 4))


def test_entries_are_counted_again_where_a_mask_was_replaced_or_changed_in_place() -> None:
    net = MaskedModel(nn.Sequential(nn.Linear(2, 3)))
    assert net.sizes == {"0.weight": (6, 6), "0.bias": (3, 3)}
    net.apply({"0.weight": torch.tensor([[True, False]] * 3)})
    assert net.sizes["0.weight"] == (3, 6)
    net.masks["0.weight"][0, 0] = False
    assert net.sizes["0.weight"] == (2, 6)
    net.masks = {"0.bias": torch.tensor([True, False, False])}
    assert net.sizes == {"0.weight": (6, 6), "0.bias": (1, 3)}
