"""Tables from records made by hand: the right point, the right seeds, nothing dropped silently."""

from __future__ import annotations

import io
import math
from typing import Any

import pandas as pd

from reports.curves import Setting, settings_of
from reports.problems import problems
from reports.table import Table
from reports.tables import accuracy_at, accuracy_at_cost, costs, measured_speedups, smallest_networks
from tests.reports.made_up import NAME, by, point, run_record, three_seeds


def by_drop(setting: Setting) -> Any:
    """The table of the smallest networks, by allowed drop."""
    return by(smallest_networks(setting).numbers, "allowed_drop")


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
    shown = by(smallest_networks(setting).shown, "d, points")
    assert shown.loc["2", "test drop, points"] == "1.80 [-0.68, 4.28]"
    assert shown.loc["2", "compression (parameters)"] == "16.0"  # at 64 it loses more
    assert not table["at_end"].any()


def test_where_nothing_smaller_was_tried_the_size_is_a_bound() -> None:
    [setting] = settings_of([
        run_record(name, s, [point(0, 1, 0.99), point(1, 4, 0.99), point(2, 16, last)])
        for name, last in (("lamp", 0.989), ("snip", 0.5))
        for s in range(3)
    ])  # fmt: skip
    table = smallest_networks(setting)
    sizes = table.shown.groupby("method")["compression (parameters)"].first()
    assert (sizes["lamp"], sizes["snip"]) == ("≥ 16.0", "4.0")
    assert table.numbers.groupby("method")["at_end"].first().to_dict() == {"lamp": True, "snip": False}


def test_a_seed_that_failed_or_stopped_further_on_is_no_end_of_the_points() -> None:
    dense = [run_record("dense", s, [point(0, 1, 0.99)]) for s in range(3)]
    near = [point(1, 4, 0.99), point(2, 16, 0.99)]
    failed = [run_record("lamp", s, near, state="diverged") for s in range(3)]
    partly = [run_record("snip", s, [*near, point(3, 64, 0.5)][: 3 - s // 2]) for s in range(3)]
    [setting] = settings_of([*dense, *failed, *partly])
    assert smallest_networks(setting).numbers.groupby("method")["at_end"].first().to_dict()["snip"] is False
    assert setting.methods["lamp"].failed
    assert smallest_networks(setting).numbers.groupby("method")["at_end"].first().to_dict()["lamp"] is False


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
    row = by(table.numbers, "allowed_drop").loc[0.02]
    assert (row["seeds_failed"], row["seeds_collapsed"], row["drop_n"]) == (1, 1, 3)
    assert table.shown["seeds"].to_list()[-1] == "3 of 3, 1 failed, 1 collapsed"


def test_accuracy_at_equal_compression_is_interpolated_and_empty_outside() -> None:
    [setting] = settings_of(three_seeds()[:1])
    shown = by(accuracy_at(setting).shown, "method")
    assert shown.loc["magnitude", "2×"] == "98.90 (1)"
    assert shown.loc["magnitude", "64×"] == "50.00 (1)"
    [setting] = settings_of([run_record("snip", 0, [point(1, 4, 0.9)])])
    assert by(accuracy_at(setting).shown, "method").loc["snip", "2×"] == "—"


def test_no_interval_of_an_accuracy_or_a_ratio_leaves_what_is_possible() -> None:
    runs = [run_record("magnitude", s, [point(0, 1, 1.0), point(1, 2 + 30 * s, 1 - 0.01 * s)]) for s in range(3)]
    [setting] = settings_of(runs)
    accuracy, smallest = accuracy_at(setting).numbers, smallest_networks(setting).numbers
    assert accuracy["top1_high"].max() == 1
    assert smallest["compression_params_low"].min() == 1
    assert smallest["compression_params_high"].max() > 32


def test_dense_trained_on_is_a_reference_row_for_each_length() -> None:
    points = [point(r, 1, 0.99 + 0.001 * r) for r in range(10)]
    dense = [run_record("dense", s, points[: n + 1], {"pruner.rounds": n}) for n in (9, 0, 2) for s in range(3)]
    [setting] = settings_of([*three_seeds(), *dense])
    table = accuracy_at(setting).shown
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


def with_dense(*runs: Any, total: int | None = None) -> Setting:
    """The setting of these runs, beside dense networks of 10 epochs."""
    about = {"train_flops": 100.0, "train_seconds": 2.0, "prune_seconds": 0.0, "total": total}
    dense = [run_record("dense", s, [point(0, 1, 0.99, **about)]) for s in range(3)]
    [setting] = settings_of([*dense, *runs])
    return setting


def test_how_large_one_test_image_is_against_the_allowed_drop_is_said() -> None:
    assert "one of 360 test images is 0.28 points" in smallest_networks(with_dense(*three_seeds(), total=360)).note
    assert "test images" not in smallest_networks(with_dense(*three_seeds())).note


def test_accuracy_at_equal_effective_flops_reads_the_theoretical_speed_up() -> None:
    runs = [run_record("magnitude", s, [point(1, 64, 0.9, speedup_theoretical=4.0)]) for s in range(3)]
    table = accuracy_at(with_dense(*runs), "speedup_theoretical")
    assert table.name == "accuracy_at_speedup_theoretical"
    shown = by(table.shown, "method").loc["magnitude"]
    assert shown["4×"] == "90.00 ± 0.00 (3)"
    assert shown["2×"] == "94.50 ± 0.00 (3)"  # halfway, in the logarithm, from 99 to 90
    assert shown["8×"] == "—"


def test_a_table_at_equal_latency_is_there_when_a_record_has_it() -> None:
    assert measured_speedups(with_dense(*three_seeds())) == []
    runs = [
        run_record("magnitude", s, [point(1, 4, 0.97, speedup_measured_torch=2.0, latency_batch=64)]) for s in range(3)
    ]
    about = {"speedup_measured_torch": 1.0, "train_flops": 100.0}
    [setting] = settings_of([*(run_record("dense", s, [point(0, 1, 0.99, **about)]) for s in range(3)), *runs])
    assert measured_speedups(setting) == ["speedup_measured_torch"]
    table = accuracy_at(setting, "speedup_measured_torch")
    assert "latency measured with batches of 64 images, ? threads, on ?" in table.note
    shown = by(table.shown, "method").loc["magnitude"]
    assert shown["2×"] == "97.00 ± 0.00 (3)"
    assert shown["3×"] == "—"


def test_how_many_seeds_reach_a_ratio_is_said_where_not_all_do() -> None:
    runs = [run_record("magnitude", s, [point(1, 4 if s else 16, 0.9)]) for s in range(3)]
    assert by(accuracy_at(with_dense(*runs)).shown, "method").loc["magnitude", "8×"] == "92.25 (1 of 3)"
    assert by(accuracy_at(with_dense(*runs)).shown, "method").loc["magnitude", "16×"] == "90.00 (1 of 3)"


def test_accuracy_at_equal_cost_takes_only_what_was_trained_until_there() -> None:
    """Epochs are 10 for dense and 10 more a round: 4 times compressed at 2 times the training, 16 at 3 times."""
    rounds = [run_record("magnitude", s, [point(1, 4, 0.98), point(2, 16, 0.96)]) for s in range(3)]
    shots = [
        run_record("snip", s, [point(1, c, 0.9, epochs_total=10)], {"pruner.sparsity": 1 - 1 / c})
        for s in range(3)
        for c in (4, 64)
    ]
    shown = by(accuracy_at_cost(with_dense(*rounds, *shots)).shown, "compression", "method")
    magnitude, snip = shown.loc[("8×", "magnitude")], shown.loc[("8×", "snip")]
    assert list(magnitude[["≤ 1×", "≤ 2×", "≤ 3×"]]) == ["—", "—", "97.00 ± 0.00 (3)"]
    assert list(snip[["≤ 1×", "≤ 8×"]]) == ["90.00 ± 0.00 (3)"] * 2
    assert shown.loc[("16×", "magnitude"), "≤ 3×"] == "96.00 ± 0.00 (3)"


def test_costs_are_those_of_the_chosen_network_in_multiples_of_dense() -> None:
    about = {"train_flops": 150.0, "train_seconds": 5.0, "prune_seconds": 1.0, "prune_flops": 25.0}
    runs = [run_record("magnitude", s, [point(1, 4, 0.98, **about), point(2, 16, 0.5)]) for s in range(3)]
    numbers = by(costs(with_dense(*runs)).numbers, "allowed_drop")
    row = numbers.loc[0.02]
    assert (row["epochs_total_mean"], row["budget_mean"], row["compression_params_mean"]) == (20, 2, 4)
    assert row["train_flops_mean"] == 150
    assert row["train_flops_dense_mean"] == 200  # 20 epochs at the 10 per epoch of the dense network
    assert math.isclose(row["budget_flops_mean"], 1.5)
    assert (row["prune_flops_mean"], row["budget_prune_mean"]) == (25, 0.25)
    assert math.isclose(row["budget_seconds_mean"], 3)  # 5 + 1 against 2
    assert 0.005 not in numbers.index  # where nothing is pruned, dense is what it costs


def test_records_from_before_scoring_was_counted_have_an_empty_cell_for_it() -> None:
    runs = [run_record("magnitude", s, [point(1, 4, 0.985, train_flops=150.0)]) for s in range(3)]
    table = costs(with_dense(*runs))
    assert set(table.shown["scoring FLOPs"]) == set(table.shown["scoring, × dense"]) == {"—"}


def test_the_best_and_those_tied_with_it_are_bold_everywhere() -> None:
    best = [run_record("best", s, [point(1, 4, 0.98 - 0.001 * s)]) for s in range(3)]
    near = [run_record("near", s, [point(1, 4, 0.979 + 0.001 * s)]) for s in range(3)]
    low = [run_record("low", s, [point(1, 4, 0.80 + 0.01 * s)]) for s in range(3)]
    table = accuracy_at(with_dense(*best, *near, *low))
    methods = list(table.shown["method"])
    assert {(methods[row], column) for row, column in table.best if column == "4×"} == {("best", "4×"), ("near", "4×")}
    assert table.markdown.count("**97.90 ± 0.10 (3)**") == 1
    assert table.html.count("<b>97.90 ± 0.10 (3)</b>") == 1
    assert r"\textbf{97.90 $\pm$ 0.10 (3)}" in table.latex
    assert "**81.00" not in table.markdown


def test_latex_has_booktabs_rules_and_escapes_what_latex_reads() -> None:
    frame = pd.DataFrame({"method": ["a_b & c", "50 % {x}", "α† \\ ~^#$"], "×": ["≤ 1", "—", "1 ± 2"]})
    lines = Table("name", "title", "note", frame[["method"]], frame).latex.splitlines()
    assert lines[3:] == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"method & $\times$ \\",
        r"\midrule",
        r"a\_b \& c & $\le$ 1 \\",
        r"50 \% \{x\} & --- \\",
        r"$\alpha$\dag{} \textbackslash{} \textasciitilde{}\textasciicircum{}\#\$ & 1 $\pm$ 2 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    assert all(line.startswith("%") for line in lines[:3])
