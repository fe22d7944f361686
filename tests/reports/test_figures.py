"""The look of the figures: what is the same in all of them."""

from __future__ import annotations

from reports.figures import styles_of


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
