"""Scores become masks: exact counts, ties, layer densities, what a mask removes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, strategies as st
from torch import nn

from benchmark.errors import MethodError, UserError
from benchmark.network.masked_model import MaskedModel, digest
from benchmark.pruning.masks import check_masks, check_sparsity, keep_top, layer_densities


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 4))


def test_prunable_are_the_weights_of_conv_and_linear_layers_only() -> None:
    assert list(MaskedModel(_network()).masks) == ["0.weight", "3.weight"]


def test_a_spared_weight_has_no_mask() -> None:
    assert list(MaskedModel(_network(), spare=["3.*"]).masks) == ["0.weight"]


def test_a_spare_pattern_that_fits_nothing_is_refused_with_the_names() -> None:
    with pytest.raises(UserError, match=r"'fc9.weight'; weights: 0.weight, 3.weight"):
        MaskedModel(_network(), spare=["fc9.weight"])


def test_applying_masks_zeroes_exactly_what_they_remove() -> None:
    net = MaskedModel(_network())
    mask = torch.zeros(4, 12, dtype=torch.bool)
    mask[1, 2] = True
    before = net.weights["3.weight"].clone()
    net.apply({"3.weight": mask, "1.bias": torch.tensor([True, False, True])})
    assert torch.equal(net.weights["3.weight"], before * mask)
    assert net.kept("3.weight") == 1
    assert net.kept("1.bias") == 2
    assert net.kept("0.bias") == 3


def test_keep_top_keeps_the_best_of_all_layers_together() -> None:
    scores = {"a": torch.tensor([1.0, 5.0]), "b": torch.tensor([[4.0, 2.0], [3.0, 0.0]])}
    masks = {name: torch.ones_like(s, dtype=torch.bool) for name, s in scores.items()}
    kept = keep_top(scores, masks, 0.5, "global")
    assert kept["a"].tolist() == [False, True]
    assert kept["b"].tolist() == [[True, False], [True, False]]


def test_uniform_keeps_the_same_share_of_each_layer() -> None:
    scores = {"a": torch.arange(4.0), "b": torch.arange(8.0)}
    masks = {name: torch.ones_like(s, dtype=torch.bool) for name, s in scores.items()}
    kept = keep_top(scores, masks, 0.75, "uniform")
    assert kept["a"].tolist() == [False, False, False, True]
    assert kept["b"].sum() == 2


def test_equal_scores_are_kept_in_order_and_exactly_as_many_as_asked() -> None:
    scores = {"a": torch.ones(3), "b": torch.ones(5)}
    masks = {name: torch.ones_like(s, dtype=torch.bool) for name, s in scores.items()}
    kept = keep_top(scores, masks, 0.5, "global")
    assert kept["a"].tolist() == [True, True, True]
    assert kept["b"].tolist() == [True, False, False, False, False]


def test_what_was_pruned_is_never_revived_however_high_it_scores() -> None:
    kept = keep_top({"a": torch.tensor([9.0, 1.0, 2.0])}, {"a": torch.tensor([False, True, True])}, 2 / 3, "global")
    assert kept["a"].tolist() == [False, False, True]


def test_asking_for_more_than_is_left_fails() -> None:
    with pytest.raises(MethodError, match="1 weights left, fewer than the 2"):
        keep_top({"a": torch.ones(4)}, {"a": torch.tensor([True, False, False, False])}, 0.5, "global")


def test_a_score_that_is_not_finite_fails_and_names_its_layer() -> None:
    with pytest.raises(MethodError, match=r"scores of fc1.weight"):
        keep_top(
            {"fc1.weight": torch.tensor([1.0, float("nan")])},
            {"fc1.weight": torch.ones(2, dtype=torch.bool)},
            0.5,
            "global",
        )


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    sparsity=st.floats(0, 0.999),
    seed=st.integers(0, 99),
    distinct=st.integers(1, 6),
)
def test_keep_top_equals_sorting_by_score_then_position(
    sizes: list[int], sparsity: float, seed: int, distinct: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = {str(i): torch.randint(distinct, (n,), generator=generator).float() for i, n in enumerate(sizes)}
    masks = {name: torch.ones_like(s, dtype=torch.bool) for name, s in scores.items()}
    kept = torch.cat(list(keep_top(scores, masks, sparsity, "global").values())).tolist()
    flat = torch.cat(list(scores.values())).tolist()
    best = sorted(range(len(flat)), key=lambda i: (-flat[i], i))[: round((1 - sparsity) * len(flat))]
    assert kept == [i in best for i in range(len(flat))]


@given(density=st.floats(0.001, 1), widths=st.lists(st.integers(1, 300), min_size=2, max_size=6))
def test_erk_densities_are_shares_that_add_up(density: float, widths: list[int]) -> None:
    shapes = {str(i): (widths[i + 1], widths[i]) for i in range(len(widths) - 1)}
    found = layer_densities(shapes, density, "erk")
    sizes = {name: a * b for name, (a, b) in shapes.items()}
    assert all(0 <= d <= 1 + 1e-9 for d in found.values())
    assert sum(found[n] * sizes[n] for n in shapes) == pytest.approx(density * sum(sizes.values()), rel=1e-6)


def test_erk_densities_of_lenet_300_100_worked_by_hand() -> None:
    # Raw densities (784+300)/(784*300), (300+100)/30000, (100+10)/1000; times size: 1084, 400, 110.
    # 26620 weights wanted at density 0.1 of 266200; one scale 26620/1594 = 16.7 makes the last 1.84 > 1:
    # it is full, the others share 26620 - 1000 over 1484, scale 17.264.
    shapes = {"fc1": (300, 784), "fc2": (100, 300), "fc3": (10, 100)}
    found = layer_densities(shapes, 0.1, "erk")
    assert found["fc3"] == 1
    assert found["fc1"] == pytest.approx(25620 / 1484 * 1084 / 235200)
    assert found["fc2"] == pytest.approx(25620 / 1484 * 400 / 30000)


@pytest.mark.parametrize(
    ("sparsity", "way"), [(90, "write 0.9 for 90 %"), (1.0, "write 0.01 for 1 %"), (-0.1, "0.9 removes 90 %")]
)
def test_a_sparsity_out_of_range_says_what_to_write(sparsity: float, way: str) -> None:
    with pytest.raises(UserError, match=rf"sparsity must be in \[0, 1\), got {sparsity:g}; {way}"):
        check_sparsity(sparsity)


def test_masks_that_do_not_fit_fail_with_their_name() -> None:
    net = MaskedModel(_network())
    with pytest.raises(MethodError, match=r"'9.weight', which the network does not have"):
        check_masks(net, {"9.weight": torch.ones(1, dtype=torch.bool)}, None)
    with pytest.raises(MethodError, match=r"mask of 3.weight must be bool, \(4, 12\)"):
        check_masks(net, {"3.weight": torch.ones(4, 12)}, None)


def test_a_missed_target_fails() -> None:
    net = MaskedModel(_network())
    kept = torch.ones(4, 12, dtype=torch.bool)
    with pytest.raises(MethodError, match="75 of 75 weights are kept, the target sparsity keeps 38"):
        check_masks(net, {"3.weight": kept}, 0.5)


def test_digest_sees_values_names_and_shapes() -> None:
    a = {"w": torch.arange(4.0)}
    assert digest(a) == digest({"w": torch.arange(4.0)})
    assert (
        len(
            {
                digest(a),
                digest({"v": torch.arange(4.0)}),
                digest({"w": torch.arange(4.0).view(2, 2)}),
                digest({"w": -a["w"]}),
            }
        )
        == 4
    )
