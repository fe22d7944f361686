"""Tables from records made by hand: the right point, the right seeds, nothing dropped silently."""

from __future__ import annotations

import io
import math
from typing import Any

import pandas as pd

from reports.curves import Setting, settings_of
from reports.problems import problems
from reports.tables import Table, accuracy_at_compression, smallest_networks
from tests.reports.made_up import NAME, point, run_record, three_seeds


def by_drop(setting: Setting) -> Any:
    """The table of the smallest networks, by allowed drop."""
    return smallest_networks(setting).numbers.set_index("allowed_drop")


def test_the_smallest_network_is_one_operating_point_for_all_seeds() -> None:
    [setting] = settings_of(three_seeds())
    table = by_drop(setting)
    assert table.loc[0.005, "compression_params_mean"] == 4
    assert table.loc[0.01, "compression_params_mean"] == 4  # at 16 the mean drop is 0.018, that of seed 0 is 0.008
    assert math.isclose(table.loc[0.02, "compression_params_mean"], 16)
    assert table.loc[0.02, "compression_params_n"] == 3
    assert table.loc[0.005, "budget_mean"] == 2
    assert table.loc[0.005, "verdict"] == "below"
    assert table.loc[0.02, "verdict"] == "open"
    # drops 0.008, 0.018, 0.028: mean 0.018, std 0.01, half width 4.30265 * 0.01 / sqrt(3) = 0.02484
    assert math.isclose(table.loc[0.02, "drop_high"], 0.04284, abs_tol=1e-5)
    shown = smallest_networks(setting).shown.set_index("d, points")
    assert shown.loc["2", "test drop, points"] == "1.80 [-0.68, 4.28]"
    assert shown.loc["2", "compression (parameters)"] == "16.0"


def test_the_points_are_chosen_on_validation_and_their_test_drop_is_reported() -> None:
    dense = [run_record("dense", s, [point(0, 1, 0.99)]) for s in range(3)]
    runs = [
        run_record("magnitude", s, [point(1, 4, 0.90, val_top1=0.99), point(2, 16, 0.99, val_top1=0.5)])
        for s in range(3)
    ]
    [setting] = settings_of([*dense, *runs])
    row = by_drop(setting).loc[0.01]
    assert (row["compression_params_mean"], row["verdict"]) == (4, "above")
    assert math.isclose(row["drop_mean"], 0.09)


def test_a_method_without_a_point_within_the_drop_counts_as_the_dense_network() -> None:
    dense = [run_record("dense", s, [point(0, 1, 0.99)]) for s in range(3)]
    [setting] = settings_of([*dense, *(run_record("random", s, [point(1, 8, 0.5)]) for s in range(3))])
    for _, row in smallest_networks(setting).numbers.iterrows():
        assert (row["compression_params_mean"], row["drop_mean"], row["verdict"]) == (1, 0, "none")


def test_failed_and_collapsed_seeds_at_the_chosen_point_are_counted_beside_it() -> None:
    dense = [run_record("dense", s, [point(0, 1, 0.11)]) for s in range(3)]
    failed = run_record("snip", 2, [], state="diverged")
    runs = [run_record("snip", s, [point(1, 8, 0.1, collapsed=s == 1)]) for s in range(2)]
    [setting] = settings_of([*dense, *runs, failed])
    table = smallest_networks(setting)
    row = table.numbers.set_index("allowed_drop").loc[0.02]
    assert (row["seeds_failed"], row["seeds_collapsed"], row["drop_n"]) == (1, 1, 3)
    assert table.shown["seeds"].to_list()[-1] == "3 of 3, 1 failed, 1 collapsed"


def test_accuracy_at_equal_compression_is_interpolated_and_empty_outside() -> None:
    [setting] = settings_of(three_seeds()[:1])
    shown = accuracy_at_compression(setting).shown.set_index("method")
    assert shown.loc["magnitude", "2×"] == "98.90 (1)"
    assert shown.loc["magnitude", "64×"] == "50.00 (1)"
    [setting] = settings_of([run_record("snip", 0, [point(1, 4, 0.9)])])
    assert accuracy_at_compression(setting).shown.set_index("method").loc["snip", "2×"] == "—"


def test_no_interval_of_an_accuracy_or_a_ratio_leaves_what_is_possible() -> None:
    runs = [run_record("magnitude", s, [point(0, 1, 1.0), point(1, 2 + 30 * s, 1 - 0.01 * s)]) for s in range(3)]
    [setting] = settings_of(runs)
    accuracy, smallest = accuracy_at_compression(setting).numbers, smallest_networks(setting).numbers
    assert accuracy["top1_high"].max() == 1
    assert smallest["compression_params_low"].min() == 1
    assert smallest["compression_params_high"].max() > 32


def test_dense_trained_on_is_a_reference_row_for_each_length() -> None:
    points = [point(r, 1, 0.99 + 0.001 * r) for r in range(10)]
    dense = [run_record("dense", s, points[: n + 1], {"pruner.rounds": n}) for n in (9, 0, 2) for s in range(3)]
    [setting] = settings_of([*three_seeds(), *dense])
    table = accuracy_at_compression(setting).shown
    assert list(table.columns[:3]) == ["method", "1×", "2×"]
    shown = table.set_index("method")["1×"]
    assert shown["dense"] == "99.00 ± 0.00 (3)"
    assert shown["dense, trained 30 epochs"] == "99.20 ± 0.00 (3)"
    assert shown["dense, trained 100 epochs"] == "99.90 ± 0.00 (3)"
    assert list(shown.index[-2:]) == ["dense, trained 30 epochs", "dense, trained 100 epochs"]
    assert problems([], [setting]).shown["why"].str.contains("more than once").sum() == 0


def test_a_cell_that_a_spreadsheet_would_run_is_a_text_and_numbers_stay_numbers() -> None:
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "plain", "a=b"]
    frame = pd.DataFrame({"method": texts, "drop": [-0.5] * len(texts)})
    read = pd.read_csv(io.StringIO(Table("name", "title", "note", frame, frame).csv), lineterminator="\n")
    assert read["method"].to_list() == ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\tx", "'\rx", "plain", "a=b"]
    assert read["drop"].to_list() == [-0.5] * len(texts)


def test_texts_of_records_are_escaped_in_html_and_markdown() -> None:
    frame = pd.DataFrame({"method": ["<script>", "a|b", "1e5"]})
    table = Table("name", "title", "note", frame, frame)
    assert "<script>" not in table.html
    assert "&lt;script&gt;" in table.html
    assert "| a\\|b" in table.markdown
    assert "| 1e5" in table.markdown


def test_the_name_of_a_setting_ends_with_its_protocol() -> None:
    assert [setting.name for setting in settings_of(three_seeds())] == [NAME]
