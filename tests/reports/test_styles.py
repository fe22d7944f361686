"""A method looks the same in all figures of all reports, and like no other."""

from __future__ import annotations

import itertools

from reports.curves import Method
from reports.styles import COLOURS, ORDER, styles_of


def named(*labels: str) -> list[Method]:
    return [Method(label, label.rstrip("†‡"), label.rstrip("†‡").partition(" (")[0]) for label in labels]


def looks(*labels: str) -> dict[str, tuple[object, object]]:
    return {plain: (style["color"], style["marker"]) for plain, style in styles_of(named(*labels)).items()}


def test_a_method_looks_the_same_whatever_else_is_in_the_report() -> None:
    everything = looks(*ORDER, "mine", "snip‡")
    for name in (*ORDER, "mine"):
        assert looks(name)[name] == looks(name, "another", "snip (a=1)", "snip (a=2)")[name] == everything[name]


def test_the_first_methods_have_a_colour_each_and_markers_for_print_in_grey() -> None:
    found = looks(*ORDER[: len(COLOURS)])
    assert [colour for colour, _ in found.values()] == list(COLOURS)
    assert len({marker for _, marker in found.values()}) >= 15


def test_no_two_of_many_methods_share_colour_and_marker() -> None:
    labels = [*ORDER, *(f"mine_{i}" for i in range(200)), *(f"snip (sparsity={i})" for i in range(30))]
    assert len(set(looks(*labels).values())) == len(labels)


def test_the_colour_of_an_own_method_does_not_depend_on_the_others() -> None:
    labels = [f"mine_{i}" for i in range(60)]
    together = looks(*labels)
    assert all(looks(label)[label][0] == together[label][0] for label in labels)


def test_variants_of_a_method_share_its_colour_and_differ_in_line_and_marker() -> None:
    styles = styles_of(named("random", "snip (distribution=erk)", "snip (distribution=global)"))
    plain, first, second = styles.values()
    assert first["color"] == second["color"] != plain["color"]
    assert first["linestyle"] != second["linestyle"]
    assert first["marker"] != second["marker"]


def test_the_order_of_reading_changes_nothing() -> None:
    labels = ["snip (a=1)", "snip (a=2)", "mine", "magnitude"]
    assert len({str(looks(*order)) for order in itertools.permutations(labels)}) == 1


def test_marks_do_not_change_a_style() -> None:
    assert looks("snip†", "snip‡", "snip") == looks("snip")
