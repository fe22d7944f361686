"""Methods against a reference, paired by seed, and over several settings."""

from __future__ import annotations

import pytest

from benchmark.errors import UserError
from reports.curves import Setting, settings_of
from reports.differences import check_reference, find, paired_differences, rankings, ranks, wins
from reports.records import RunRecord
from tests.reports.made_up import by, point, run_record

QUALITY = {"good": 0.97, "fair": 0.95, "poor": 0.80}
NOISE = (0.000, 0.004, -0.003)  # of seeds, shared by all methods
OWN = {"good": (0.0, 0.001, 0.0), "fair": (0.001, 0.0, 0.0), "poor": (0.0, 0.0, 0.002)}


def runs_of(dataset: str = "digits", methods: dict[str, float] = QUALITY) -> list[RunRecord]:
    """Three methods measured at 4 and 64 times, on three seeds whose luck all methods share."""
    runs = [run_record("dense", s, [point(0, 1, 0.99)], {"dataset": dataset}) for s in range(3)]
    for name, top1 in methods.items():
        for s in range(3):
            value = top1 + NOISE[s] + OWN[name][s]
            points = [point(1, 4, value), point(2, 64, value - 0.1)]
            runs.append(run_record(name, s, points, {"dataset": dataset}))
    return runs


def only(runs: list[RunRecord]) -> Setting:
    [setting] = settings_of(runs)
    return setting


def test_differences_are_paired_by_seed_and_what_is_shown_is_marked() -> None:
    table = paired_differences(only(runs_of()), "good")
    assert table is not None
    assert "minus that of good" in table.title
    row = by(table.numbers, "method", "compression_params").loc[("fair", 4)]
    # differences -0.019, -0.021, -0.020: mean -0.020, std 0.001, half width 4.30265 * 0.001 / sqrt(3) = 0.00248
    assert row["difference_mean"] == pytest.approx(-0.02)
    assert (row["difference_low"], row["difference_high"]) == (
        pytest.approx(-0.02248, abs=1e-5),
        pytest.approx(-0.01752, abs=1e-5),
    )
    assert row["p"] < row["p_holm"] < 0.05
    assert by(table.shown, "method").loc["fair", "4×"] == "-2.00 [-2.25, -1.75]* (3)"
    assert "good" not in set(table.shown["method"])


def test_the_reference_may_be_dense_and_is_the_best_where_none_is_named() -> None:
    setting = only(runs_of())
    against_dense = paired_differences(setting, "dense")
    assert against_dense is not None
    assert set(against_dense.shown["method"]) == {"good", "fair", "poor"}
    best = paired_differences(only(runs_of(methods={"good": 0.985, "fair": 0.95})))
    assert best is not None
    assert set(best.numbers["reference"]) == {"good"}


def test_a_single_method_is_compared_with_nothing() -> None:
    assert paired_differences(only(runs_of(methods={"good": 0.97}))) is None


def test_a_reference_is_found_by_label_or_by_the_name_of_one_method() -> None:
    variants = [run_record("snip", 0, [point(1, 4, 0.9)], {"pruner.x": x}) for x in (1, 2)]
    setting = only([*runs_of(), *variants])
    assert find(setting, "good") == "good"
    assert find(setting, "snip (x=1)") == "snip (x=1)"
    assert find(setting, "snip") is None  # which of the two?
    with pytest.raises(UserError, match=r"unknown reference method 'snip'.*snip \(x=1\)"):
        check_reference([setting], "snip")
    check_reference([setting], "dense")


def test_methods_of_several_settings_are_ranked_and_those_of_one_are_not() -> None:
    settings = settings_of([run for dataset in "abcde" for run in runs_of(dataset)])
    assert len(settings) == 5
    size, at_4, at_16 = rankings(settings)
    assert at_4.ranking.ranks == {"good": 1, "fair": 2, "poor": 3}
    assert at_4.ranking.blocks == 5
    assert at_4.ranking.p < 0.05
    assert size.ranking.ranks == dict.fromkeys(QUALITY, 2.0)  # none is within a point of dense: all are dense
    assert at_16.left_out == []
    table = ranks([size, at_4, at_16])
    assert table is not None
    assert len(table.shown) == 9
    assert rankings(settings[:1]) == []
    assert ranks([]) is None


def test_a_method_that_some_setting_lacks_or_that_does_not_reach_a_ratio_is_ranked_nowhere_and_said() -> None:
    runs = [run for dataset in "ab" for run in runs_of(dataset)]
    runs.append(run_record("extra", 0, [point(1, 4, 0.9)], {"dataset": "a"}))
    runs += [run_record("short", 0, [point(1, 8, 0.9)], {"dataset": dataset}) for dataset in "ab"]
    found = rankings(settings_of(runs))
    assert all("extra" not in each.ranking.ranks for each in found)
    assert found[-1].left_out == ["short"]
    table = ranks(found)
    assert table is not None
    assert "short (test top-1 at 16× compression)" in table.note


def test_settings_of_different_protocols_are_not_ranked_together() -> None:
    other = [run_record("dense", 0, [point(0, 1, 0.9)], number=1), run_record("good", 0, [point(1, 4, 0.9)], number=1)]
    assert rankings(settings_of([*runs_of(), *other])) == []


def test_wins_ties_and_losses_are_counted_over_settings() -> None:
    even = [  # as good as the reference, but for noise of its own
        run_record("even", s, [point(1, 4, 0.95 + (0.01, -0.01, 0.0)[s])], {"dataset": dataset})
        for dataset in "abc"
        for s in range(3)
    ]
    settings = settings_of([*even, *(run for dataset in "abc" for run in runs_of(dataset))])
    table = wins(settings, "fair")
    assert table is not None
    shown = by(table.shown, "method")["4×"]
    assert (shown["good"], shown["even"], shown["poor"]) == ("3/0/0", "0/3/0", "0/0/3")
    assert wins(settings[:1], "fair") is None
