from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.nnrelief import importance as module
from baselines.nnrelief.importance import ConnectionSignals, largest_share
from benchmark.network.signals import SignalRecord


def kept(importances: list[float], alpha: float) -> list[bool]:
    return largest_share(torch.tensor([importances]), alpha)[0].tolist()


@pytest.mark.parametrize(
    ("importances", "alpha", "expected"),
    [
        # prefix sums 4, 7, 9, 10 of 10: none is below 4, so s_1 = 3 is the first to go
        ([1.0, 4.0, 2.0, 3.0], 0.4, [False, True, False, False]),
        # only 4 is below 5: s_2 = 2 is the first to go
        ([1.0, 4.0, 2.0, 3.0], 0.5, [False, True, False, True]),
        # 4, 7 and 9 are below 9.5: t would be 4, the last one is 3, so the smallest goes whatever alpha is
        ([1.0, 4.0, 2.0, 3.0], 0.95, [False, True, True, True]),
        ([1.0, 4.0, 2.0, 3.0], 1.0, [False, True, True, True]),
        # a prefix sum equal to alpha * total is not below it
        ([4.0, 2.0, 1.0, 1.0], 0.5, [True, False, False, False]),
        # a tie with the first one removed goes too, so less than the share stays
        ([4.0, 2.0, 2.0, 1.0], 0.6, [True, False, False, False]),
        ([2.0, 2.0, 2.0], 0.5, [False, False, False]),
        # zeros stay removed, and count among the connections
        ([3.0, 0.0, 1.0, 0.0], 1.0, [True, False, True, False]),
        ([3.0, 0.0, 0.0], 0.95, [True, False, False]),
        ([0.0, 0.0], 0.95, [False, False]),
        # a single connection has nothing to give way to
        ([0.5], 0.95, [True]),
        ([0.0], 0.95, [False]),
    ],
)
def test_the_connections_of_a_unit_are_kept_up_to_their_share(
    importances: list[float], alpha: float, expected: list[bool]
) -> None:
    assert kept(importances, alpha) == expected


@pytest.mark.parametrize(
    ("importances", "alpha", "expected"),
    [
        ([3.0, 1.0], 1.0, [True, True]),  # at 1 nothing goes that is above zero
        ([1e9, 1e-9], 1.0, [True, True]),
        ([3.0, 0.0], 1.0, [True, False]),
        ([0.0, 0.0], 1.0, [False, False]),
        ([3.0, 1.0], 0.75, [True, False]),  # 3 of 4 carry the share alone
        ([1.0, 3.0], 0.8, [True, True]),
        ([2.0, 2.0], 0.4, [True, True]),  # a tie takes neither
        ([4.0, 3.0, 2.0], 1.0, [True, True, False]),  # three and more as elsewhere
    ],
)
def test_of_a_depthwise_kernel_and_its_bias_the_weaker_goes_only_where_the_other_is_enough(
    importances: list[float], alpha: float, expected: list[bool]
) -> None:
    assert largest_share(torch.tensor([importances]), alpha, grouped=True)[0].tolist() == expected


def test_units_are_selected_independently() -> None:
    found = largest_share(torch.tensor([[4.0, 3.0, 2.0, 1.0], [0.0, 0.0, 0.0, 0.0], [1.0, 9.0, 0.0, 2.0]]), 0.5)
    assert found.tolist() == [[True, True, False, False], [False] * 4, [False, True, False, False]]


def importance(conv: nn.Module, x: Tensor, formula: Any, norm: Any) -> Tensor:
    signals = ConnectionSignals(formula, norm)
    record = SignalRecord(nn.Sequential(conv), ["0"], signals.add)
    for part in x.split(2):
        record.run(part)
    return signals.importance("0")


def by_hand(conv: nn.Module, x: Tensor, formula: str, norm: str) -> Tensor:
    """Every kernel's output map made on its own."""
    assert isinstance(conv, nn.Conv2d)
    per_group, users = conv.weight.shape[1], len(conv.weight) // conv.groups
    result = torch.empty(conv.weight.shape[:2], dtype=x.dtype)
    size = torch.sum if norm == "sum" else torch.linalg.vector_norm
    for k in range(len(conv.weight)):
        for c in range(per_group):
            signal = x[:, k // users * per_group + c, None].abs()
            signal = signal if formula == "paper" else signal.mean(0, keepdim=True)
            kernel = conv.weight[k, c].abs()[None, None]
            amount = conv._reversed_padding_repeated_twice
            maps = F.conv2d(F.pad(signal, amount), kernel, None, conv.stride, 0, conv.dilation)
            result[k, c] = torch.stack([size(m) for m in maps]).mean()
    if conv.bias is None:
        return result
    level = torch.ones_like(conv(x)[0, 0])
    return torch.cat([result, conv.bias.abs()[:, None] * size(level)], 1)


@pytest.mark.parametrize("formula", ["paper", "released"])
@pytest.mark.parametrize("norm", ["frobenius", "sum"])
@pytest.mark.parametrize("limit", [module.GRAM_ELEMENTS, 0])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": (2, 3), "stride": (1, 2), "padding": (0, 2), "bias": False},
        {"kernel_size": 3, "dilation": 2, "padding": "same"},
        {"kernel_size": (4, 2), "padding": "same"},
        {"kernel_size": 1, "groups": 2},
        {"kernel_size": 3, "groups": 4, "stride": 2, "bias": False},
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@torch.no_grad()
def test_a_kernels_importance_is_the_norm_of_its_own_output_map(
    options: dict[str, Any], formula: str, norm: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRAM_ELEMENTS", limit)
    monkeypatch.setattr(module, "WORK_ELEMENTS", 1)  # an example at a time
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 8, **options).double()
    x = torch.randn(5, 4, 7, 6, dtype=torch.float64)
    torch.testing.assert_close(importance(conv, x, formula, norm), by_hand(conv, x, formula, norm))


def test_a_1d_convolution_counts_as_a_2d_one_of_height_1() -> None:
    torch.manual_seed(0)
    flat, deep = nn.Conv1d(3, 4, 5, padding=2), nn.Conv2d(3, 4, (1, 5), padding=(0, 2))
    deep.weight.data, deep.bias = flat.weight.data[:, :, None], flat.bias
    x = torch.randn(4, 3, 9)
    found = importance(flat, x, "paper", "frobenius")
    torch.testing.assert_close(found, importance(deep, x[:, :, None], "paper", "frobenius"))


@pytest.mark.parametrize("batch_first", [True, False])
@torch.no_grad()
def test_each_projection_of_attention_is_scored_by_what_it_reads(batch_first: bool) -> None:
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(4, 2, batch_first=batch_first)
    query, keys, values = torch.randn(3, 2, 4), torch.randn(3, 5, 4), torch.randn(3, 5, 4)

    class Attend(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = attention

        def forward(self, x: Tensor) -> Tensor:
            given = query[: len(x)], keys[: len(x)], values[: len(x)]
            return attention(*(given if batch_first else [t.transpose(0, 1) for t in given]))[0]

    signals = ConnectionSignals("paper", "frobenius")
    SignalRecord(Attend(), ["attention.in_proj"], signals.add).run(torch.zeros(3, 1))
    means = torch.stack([t.abs().mean((0, 1)) for t in (query, keys, values)]).repeat_interleave(4, 0)  # (12, 4)
    expected = torch.cat([attention.in_proj_weight.abs() * means, attention.in_proj_bias.abs()[:, None]], 1)
    torch.testing.assert_close(signals.importance("attention.in_proj"), expected)


def test_the_tokens_of_a_linear_layer_count_as_examples() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(3, 2)
    x = torch.randn(4, 5, 3)
    found = importance(linear, x, "paper", "frobenius")
    torch.testing.assert_close(found, importance(linear, x.flatten(0, 1), "paper", "frobenius"))
