"""The look of the figures: what is the same in all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.curves import settings_of
from reports.figures import draw_all, styles_of
from reports.tables import problems
from tests.reports.test_tables import point, run_record


def test_a_method_has_one_colour_in_all_reports() -> None:
    few, many = styles_of(["nnrelief‡", "snip‡"]), styles_of(["lottery_ticket", "mine", "nnrelief", "snip"])
    assert few["nnrelief‡"] == many["nnrelief"]
    assert few["snip‡"] == many["snip"]
    assert len({style["color"] for style in many.values()}) == 4


def test_variants_of_a_method_share_its_colour_and_differ_in_line_and_marker() -> None:
    plain, first, second = styles_of(["random", "snip (distribution=erk)", "snip (distribution=global)"]).values()
    assert first["color"] == second["color"] != plain["color"]
    assert first["linestyle"] != second["linestyle"]
    assert first["marker"] != second["marker"]


@pytest.mark.parametrize("compression", [4, 1])
def test_without_a_dense_run_there_are_figures_and_the_reader_is_told(tmp_path: Path, compression: float) -> None:
    runs = [run_record("snip", 0, [point(1, compression, 0.9)])]
    [setting] = settings_of(runs)
    assert "accuracy_compression_params" in draw_all(setting, list(setting.methods), tmp_path)
    why = set(problems(runs, [setting]).shown["why"])
    assert "no dense run of seeds [0] to compare with: --pruner dense makes it" in why


def test_where_no_run_has_a_point_there_are_figures_all_the_same(tmp_path: Path) -> None:
    [setting] = settings_of([run_record("snip", 0, [point(1, 4, 0.1, compression_params=None, collapsed=True)])])
    assert draw_all(setting, list(setting.methods), tmp_path)
