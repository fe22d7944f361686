"""Figures over several settings: a panel each, and which methods' ranks are not shown to differ."""

from __future__ import annotations

import math
import re

import pytest

from reports.curves import Setting, settings_of
from reports.differences import rankings
from reports.figures import draw_across
from reports.figures.across import _groups
from reports.figures.house import LOOKS
from reports.statistics import Ranking
from reports.styles import styles_of
from tests.reports.made_up import point, run_record


def several(count: int, methods: int = 3) -> list[Setting]:
    """Settings in which each method is better than the next."""
    runs = [
        run_record(f"m{m}", s, [point(0, 1, 0.99), point(1, 16, 0.98 - 0.01 * m)], {"model": f"net_{n}"})
        for n in range(count)
        for m in range(methods)
        for s in range(3)
    ]
    return settings_of(runs)


def drawn(settings: list[Setting], look: str = "paper") -> dict[str, str]:
    styles = styles_of(method for setting in settings for method in setting.methods.values())
    figures = draw_across(settings, rankings(settings), styles, look)
    return {stem: re.sub(r"(<[^>]*>|\s)+", " ", figures.files[f"{stem}.svg"]().decode()) for stem in figures.titles}


@pytest.mark.parametrize("look", LOOKS)
def test_several_settings_have_a_panel_each_and_one_legend(look: str) -> None:
    text = drawn(several(5), look)["accuracy_by_setting"]
    assert all(f" digits · net_{n} · adam " in text for n in range(5))
    assert [text.count(f" m{n} ") for n in range(3)] == [1, 1, 1]


def test_ranks_are_drawn_with_the_critical_difference() -> None:
    text = drawn(several(4))["critical_difference"]
    assert "critical difference 1.66" in text  # 2.343 * sqrt(3 * 4 / (6 * 4)), Demsar 2006, table 5
    assert " m0 1.00 " in text
    assert " 3.00 m2 " in text


def test_a_single_setting_has_none_of_them() -> None:
    assert drawn(several(1)) == {}


def test_ranks_within_the_critical_difference_are_joined_in_largest_groups() -> None:
    ranks = {"a": 1.0, "b": 2.0, "c": 3.5, "d": 5.0}
    assert _groups(Ranking(ranks, 9, 0.01, 1.5)) == [(1.0, 2.0), (2.0, 3.5), (3.5, 5.0)]
    assert _groups(Ranking(ranks, 9, 0.01, 3.0)) == [(1.0, 3.5), (2.0, 5.0)]
    assert _groups(Ranking(ranks, 9, 0.01, 0.5)) == []


def test_where_nothing_is_shown_to_differ_all_are_joined() -> None:
    assert _groups(Ranking({"a": 1.0, "b": 3.0}, 9, 0.2, 0.5)) == [(1.0, 3.0)]
    assert _groups(Ranking({"a": 1.0, "b": 2.0}, 2, math.nan, math.nan)) == [(1.0, 2.0)]
