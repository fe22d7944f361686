"""Scores become masks: exact counts, ties, layer densities, what a mask removes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor, nn

from benchmark.errors import MethodError, UserError
from benchmark.network.masked_model import MaskedModel, digest
from benchmark.pruning.masks import check_sparsity, check_structure, exchange, keep_top, layer_densities, missed_target


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


def _masks(scores: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.ones_like(s, dtype=torch.bool) for name, s in scores.items()}


def test_rows_keep_the_same_share_of_each_output_unit() -> None:
    scores = {"a": torch.tensor([[1.0, 2.0, 3.0, 4.0], [4.0, 4.0, 1.0, 4.0]])}
    kept = keep_top(scores, _masks(scores), 0.5, "rows")["a"]
    assert kept.tolist() == [[False, False, True, True], [True, True, False, False]]


def test_a_kernel_goes_whole_by_the_sum_of_its_scores() -> None:
    scores = {"a": torch.tensor([[[1.0, 1.0], [0.0, 3.0]], [[5.0, 0.0], [0.0, 0.0]]])}  # (2, 2, taps)
    kept = keep_top(scores, _masks(scores), 0.5, "global", "kernels")["a"]
    assert kept.all(2).tolist() == [[False, True], [True, False]]
    assert torch.equal(kept.any(2), kept.all(2))


def test_filters_of_unequal_size_come_nearest_to_the_share_of_weights_and_leave_no_layer_empty() -> None:
    # Filters of 4 and of 2 weights, 12 in all; 6 wanted: the best of each layer (4 + 2) are there already.
    scores = {"a": torch.tensor([[9.0] * 4, [8.0] * 4]), "b": torch.tensor([[0.1] * 2, [0.2] * 2])}
    kept = keep_top(scores, _masks(scores), 0.5, "global", "filters")
    assert [kept[n].all(1).tolist() for n in "ab"] == [[True, False], [False, True]]
    assert missed_target(kept, 0.5, "global", "filters") is None


def test_two_of_four_along_the_input_of_each_position_of_a_kernel() -> None:
    scores = {"a": torch.arange(12.0).view(1, 6, 2)}  # six inputs, two taps: a whole block of 4 and a rest of 2
    kept = keep_top(scores, _masks(scores), 0.5, "global", "2:4")["a"]
    assert kept[0].tolist() == [[False] * 2, [False] * 2, [True] * 2, [True] * 2, [False] * 2, [True] * 2]
    assert missed_target({"a": kept}, 0.5, "global", "2:4") is None
    assert "row 0" in (missed_target({"a": torch.ones_like(kept)}, 0.5, "global", "2:4") or "")


@pytest.mark.parametrize("structure", ["2:4", "1:4"])
def test_n_of_m_keeps_a_layer_whose_units_read_a_single_input(structure: str) -> None:
    scores = {"depthwise": torch.rand(3, 1, 3, 3) + 1}
    sparsity = {"2:4": 0.5, "1:4": 0.75}[structure]
    kept = keep_top(scores, _masks(scores), sparsity, "rows", structure)
    assert kept["depthwise"].all()
    assert missed_target(kept, sparsity, "rows", structure) is None
    assert missed_target({"depthwise": ~kept["depthwise"]}, sparsity, "rows", structure) is not None


@given(
    shapes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 3)), min_size=1, max_size=3),
    sparsity=st.floats(0, 0.99),
    distribution=st.sampled_from(["global", "uniform", "erk", "rows"]),
    structure=st.sampled_from(["weights", "kernels", "filters", "2:4"]),
    seed=st.integers(0, 99),
)
def test_every_structure_meets_its_target_in_whole_units_that_score_best_in_their_group(
    shapes: list[tuple[int, int, int]], sparsity: float, distribution: Any, structure: str, seed: int
) -> None:
    if structure == "filters" and distribution == "rows":
        return
    sparsity, distribution = (0.5, "global") if structure == "2:4" else (sparsity, distribution)
    generator = torch.Generator().manual_seed(seed)
    scores = {str(i): torch.rand(shape, generator=generator) + 0.01 for i, shape in enumerate(shapes)}
    kept = keep_top(scores, _masks(scores), sparsity, distribution, structure)
    assert missed_target(kept, sparsity, distribution, structure) is None
    for name, mask in kept.items():
        units = {"kernels": mask.flatten(0, 1), "filters": mask.flatten(1)}.get(structure)
        assert units is None or torch.equal(units.any(1), units.all(1))
        if distribution == "rows" and structure == "weights":
            for row, chosen in zip(scores[name].flatten(1), mask.flatten(1), strict=True):
                count = round((1 - sparsity) * len(row))
                assert set(chosen.nonzero().flatten().tolist()) == set(row.topk(count).indices.tolist())
        if structure == "2:4":
            rows = mask.transpose(1, 2).flatten(0, 1)
            assert all(block.sum() <= 2 for row in rows for block in row.split(4))


def test_a_group_off_by_more_than_half_a_unit_is_told_with_its_place() -> None:
    mask = torch.tensor([[True, True, False, False], [True, True, True, True]])
    by_row = missed_target({"fc": mask}, 0.5, "rows", "weights")
    assert by_row == "4 of 4 weights of row 1 of fc are kept, the target keeps 2"
    assert missed_target({"fc": mask}, 0.25, "global", "weights") is None
    nothing = missed_target({"fc": torch.zeros_like(mask)}, 0.25, "global", "weights")
    assert nothing == "0 of 8 weights of fc are kept, the target keeps 6"
    together = missed_target({"fc": mask}, 0.5, "global", "weights")
    assert together == "6 of 8 weights of fc are kept, the target keeps 4"


def test_a_target_of_many_millions_is_held_to_half_a_weight() -> None:
    kept, size = 29_650_001, 40_000_000  # more than single precision counts to
    mask = torch.arange(size) < kept
    assert missed_target({"fc": mask.view(1000, -1)}, 1 - kept / size, "global", "weights") is None
    assert missed_target({"fc": mask.view(1000, -1)}, 1 - (kept + 1) / size, "global", "weights") is not None


def test_an_exchange_drops_the_lowest_kept_and_grows_the_highest_others() -> None:
    masks = {"a": torch.tensor([True, True, True, False, False])}
    drop, grow = {"a": torch.tensor([3.0, 1.0, 2.0, 9.0, 9.0])}, {"a": torch.tensor([9.0, 9.0, 9.0, 1.0, 2.0])}
    assert exchange(masks, drop, grow, 0.4)["a"].tolist() == [True, False, True, False, True]
    assert exchange(masks, drop, grow, 0.3)["a"].tolist() == [True, True, True, False, False]  # less than one weight


def test_nothing_left_to_exchange_leaves_the_masks_as_they_are() -> None:
    masks = {"full": torch.ones(4, dtype=torch.bool), "empty": torch.zeros(4, dtype=torch.bool)}
    scores = {name: torch.rand(4) for name in masks}
    found = exchange(masks, scores, scores, 0.5)
    assert all(torch.equal(found[name], masks[name]) for name in masks)


@pytest.mark.parametrize(
    ("structure", "distribution", "sparsity", "message"),
    [
        ("filter", "global", 0.5, "must be weights, kernels, filters or n:m"),
        ("4:2", "global", 0.5, "n below m"),
        ("2:4", "global", 0.9, "pruner.sparsity must be 0.5"),
        ("2:4", "erk", 0.5, "pruner.distribution not erk"),
        ("filters", "rows", 0.5, "goes with global, uniform or erk"),
    ],
)
def test_an_impossible_structure_is_refused(structure: str, distribution: Any, sparsity: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_structure(structure, distribution, sparsity)


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


def test_a_target_is_held_exactly_where_there_are_more_weights_than_float32_counts() -> None:
    masks = {"w": torch.ones(18_370_048, 1, dtype=torch.bool)}
    kept = round(0.685867 * 18_370_048)
    masks["w"][kept:] = False
    assert missed_target(masks, 1 - 0.685867, "global", "weights") is None
    masks["w"][kept - 1] = False
    assert missed_target(masks, 1 - 0.685867, "global", "weights") is not None
