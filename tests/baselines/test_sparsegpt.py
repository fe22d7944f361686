"""SparseGPT against the literal algorithm: least squares for every weight that goes, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from baselines.sparsegpt import SparseGPT
from benchmark.errors import UserError
from benchmark.network.masked_model import MaskedModel
from benchmark.pruning import Pruned, decide
from benchmark.pruning.plan import Prune

LABELS = torch.zeros(40, dtype=torch.long)


def _linear(weight: Tensor) -> MaskedModel:
    layer = nn.Linear(weight.shape[1], weight.shape[0]).double()
    layer.weight.data = weight.clone()
    return MaskedModel(nn.Sequential(layer))


def _literal(weight: Tensor, inputs: Tensor, method: SparseGPT) -> tuple[Tensor, Tensor]:
    """Mask and values, the mask chosen block by block, every change the solution of its own least squares."""
    rows, columns = weight.shape
    hessian = inputs.T @ inputs
    hessian += method.dampening * hessian.diagonal().mean() * torch.eye(columns, dtype=torch.double)
    weight, mask = weight.clone(), torch.ones_like(weight, dtype=torch.bool)
    density, kept = 1 - method.sparsity, 0
    for start in range(0, columns, method.block):
        stop = min(start + method.block, columns)
        costs = torch.stack(
            [weight[:, j] ** 2 / torch.linalg.inv(hessian[j:, j:])[0, 0] for j in range(start, stop)], dim=1
        )
        count = round(density * rows * stop) - kept
        kept += count
        chosen = torch.zeros(rows * (stop - start), dtype=torch.bool)
        chosen[costs.flatten().argsort(descending=True)[:count]] = True
        mask[:, start:stop] = chosen.view(rows, -1)
        for j in range(start, stop):
            for row in (~mask[:, j]).nonzero().flatten().tolist():
                change = torch.linalg.solve(hessian[j + 1 :, j + 1 :], hessian[j + 1 :, j]) * weight[row, j]
                weight[row, j + 1 :] += change
                weight[row, j] = 0
    return mask, weight


@given(
    seed=st.integers(0, 9999),
    rows=st.integers(1, 5),
    columns=st.integers(2, 12),
    sparsity=st.floats(0.01, 0.95),
    block=st.sampled_from([1, 3, 128]),
)
@settings(max_examples=60, deadline=None)
def test_masks_and_values_are_those_of_the_literal_algorithm(
    seed: int, rows: int, columns: int, sparsity: float, block: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight, inputs = (torch.randn(n, columns, generator=generator, dtype=torch.double) for n in (rows, 40))
    method = SparseGPT(sparsity=sparsity, block=block)
    pruned = decide(method, _linear(weight), [(inputs[:15], LABELS[:15]), (inputs[15:], LABELS[15:])], Prune(sparsity))
    mask, values = _literal(weight, inputs, method)
    assert torch.equal(pruned.masks["0.weight"], mask)
    assert torch.allclose(pruned.values["0.weight"], values, rtol=1e-7, atol=1e-9)


def test_what_is_left_solves_the_least_squares_where_the_first_inputs_go() -> None:
    torch.manual_seed(0)
    weight, inputs = torch.randn(3, 8).double(), torch.randn(40, 8).double() @ torch.randn(8, 8).double()
    weight[:, :4] *= 1e-3
    values = decide(SparseGPT(dampening=1e-9), _linear(weight), [(inputs, LABELS)], Prune(0.5)).values["0.weight"]
    best = torch.linalg.lstsq(inputs[:, 4:], inputs @ weight.T).solution.T
    assert torch.equal(values[:, :4], torch.zeros(3, 4).double())
    assert torch.allclose(values[:, 4:], best, rtol=1e-5)


def test_by_hand_two_equal_inputs_share_one_weight_and_of_equal_costs_the_first_stays() -> None:
    inputs = torch.tensor([[1.0, 1.0]]).double().expand(40, 2)
    pruned = decide(
        SparseGPT(dampening=1e-9), _linear(torch.tensor([[2.0, 3.0]]).double()), [(inputs, LABELS)], Prune(0.5)
    )
    # The first costs nothing, as the second can do its work.
    assert pruned.masks["0.weight"].tolist() == [[False, True]]
    assert pruned.values["0.weight"].flatten().tolist() == pytest.approx([0, 5], abs=1e-6)
    alone = torch.eye(2).double().repeat(20, 1)
    equal = decide(SparseGPT(), _linear(torch.tensor([[1.0, 1.0]]).double()), [(alone, LABELS)], Prune(0.5))
    assert equal.masks["0.weight"].tolist() == [[True, False]]


def _conv_as_linear(structure: str, groups: int) -> tuple[Pruned, list[Pruned]]:
    """A grouped convolution pruned, and each of its groups as a linear layer on its unfolded inputs, by tap."""
    torch.manual_seed(groups)
    conv = nn.Conv2d(6, 6, (2, 3), stride=(1, 2), padding=1, groups=groups, bias=False).double()
    inputs = torch.randn(7, 6, 5, 6).double()
    method = SparseGPT(structure=structure, distribution="rows", block=4)
    pruned = decide(method, MaskedModel(nn.Sequential(conv)), [(inputs, LABELS[:7])], Prune(0.5))
    unfolded = nn.functional.unfold(inputs, (2, 3), padding=1, stride=(1, 2)).transpose(1, 2).flatten(0, 1)
    by_group = unfolded.view(len(unfolded), groups, 6 // groups, 6).transpose(2, 3).flatten(2)  # (n, groups, by tap)
    weights = conv.weight.detach().view(groups, 6 // groups, 6 // groups, 6).transpose(2, 3).flatten(2)
    labels = torch.zeros(len(unfolded), dtype=torch.long)
    singly = [decide(method, _linear(weights[g]), [(by_group[:, g], labels)], Prune(0.5)) for g in range(groups)]
    return pruned, singly


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_a_convolution_is_a_linear_layer_on_unfolded_inputs_group_by_group(groups: int) -> None:
    pruned, singly = _conv_as_linear("weights", groups)
    for name in ("masks", "values"):
        found = getattr(pruned, name)["0.weight"]
        expected = [getattr(one, name)["0.weight"].view(6 // groups, 6, -1).transpose(1, 2) for one in singly]
        assert torch.allclose(found.double(), torch.cat(expected).view_as(found).double(), rtol=1e-6)


@pytest.mark.parametrize("inputs", [3, 6, 8])
def test_two_of_four_channels_stay_at_every_tap(inputs: int) -> None:
    torch.manual_seed(0)
    net = MaskedModel(nn.Sequential(nn.Conv2d(inputs, 5, 3)))
    pruned = decide(SparseGPT(structure="2:4"), net, [(torch.randn(9, inputs, 6, 6), LABELS[:9])], Prune(0.5))
    mask = pruned.masks["0.weight"]
    assert all(int(n) == 2 for block in mask.split(4, dim=1) if block.shape[1] == 4 for n in block.sum(1).flatten())


def test_what_was_pruned_stays_so_and_is_made_up_for() -> None:
    torch.manual_seed(0)
    net, inputs = _linear(torch.randn(4, 16).double()), torch.randn(40, 16).double()
    first = decide(SparseGPT(rounds=2), net, [(inputs, LABELS)], Prune(0.25))
    net.apply(first.masks)
    second = decide(SparseGPT(rounds=2), net, [(inputs, LABELS)], Prune(0.5))
    assert not (second.masks["0.weight"] & ~first.masks["0.weight"]).any()


def test_dead_inputs_and_unused_layers_are_pruned_by_magnitude() -> None:
    weight = torch.tensor([[1.0, -4.0, 2.0, 3.0]]).double()
    pruned = decide(SparseGPT(), _linear(weight), [(torch.zeros(40, 4).double(), LABELS)], Prune(0.5))
    assert pruned.masks["0.weight"].tolist() == [[False, True, False, True]]
    assert torch.equal(pruned.values["0.weight"], weight * pruned.masks["0.weight"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"distribution": "global"}, "must be uniform or rows"),
        ({"structure": "filters"}, "weights or n:m, got uniform, filters"),
        ({"dampening": 0.0}, "must be a number, above 0"),
        ({"block": 0}, "at least 1, got 0"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SparseGPT(**options)
