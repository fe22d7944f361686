"""The figures say what is not in them, and show odd names as they are."""

from __future__ import annotations

import re

import pytest

from reports.curves import Setting, settings_of
from reports.figures import draw_all
from reports.problems import problems
from reports.styles import styles_of
from tests.reports.made_up import point, run_record, three_seeds


def drawn(setting: Setting) -> dict[str, str]:
    """The texts in the figures, by stem, in one piece."""
    titles, files = draw_all(setting, styles_of(setting.methods.values()))
    assert {f"{stem}.{form}" for stem in titles for form in ("png", "svg")} == files.keys()
    return {stem: re.sub(r"(<[^>]*>|\s)+", " ", files[f"{stem}.svg"].decode()) for stem in titles}


@pytest.mark.parametrize("compression", [4, 1])
def test_without_a_dense_run_there_are_figures_and_the_reader_is_told(compression: float) -> None:
    runs = [run_record("snip", 0, [point(1, compression, 0.9)])]
    [setting] = settings_of(runs)
    assert "accuracy_compression_params" in drawn(setting)
    why = set(problems(runs, [setting]).shown["why"])
    assert "no dense run of seeds 0 to compare with: --pruner dense makes it" in why


def test_points_that_are_collapsed_below_the_axis_or_without_a_place_are_counted() -> None:
    rounds = [point(0, 1, 0.99), point(1, 4, 0.98), point(2, 64, 0.1, collapsed=True)]
    gone = point(3, None, 0.1, collapsed=True)
    [setting] = settings_of([run_record("snip", s, [*rounds, gone]) for s in range(3)])
    for stem in ("accuracy_compression_params", "accuracy_speedup_theoretical"):
        figure = drawn(setting)[stem]
        assert "3 of 9 points lie below the axis, drawn at its foot; lowest 10.0 %" in figure
        assert "6 of 9 points are collapsed (crosses)" in figure
        assert "3 of 9 points have nothing left, so no place here" in figure


def test_where_no_run_has_a_place_on_the_axis_there_are_figures_all_the_same() -> None:
    [setting] = settings_of([run_record("snip", 0, [point(1, None, 0.1, collapsed=True)])])
    assert "1 of 1 points have nothing left" in drawn(setting)["accuracy_compression_params"]


def test_odd_names_are_shown_as_they_are() -> None:
    layers = [{"name": "$\\frac{1", "kept": 1, "total": 2}]
    runs = [
        run_record(pruner, 0, [point(0, 1, 0.9), point(1, 4, 0.8, layers=layers)], {"model": "$x^2$ & <b>"})
        for pruner in ("m.py:_Hidden", "$\\alpha$", "日本")
    ]
    [setting] = settings_of(runs)
    figures = drawn(setting)
    for text in ("_Hidden", "$\\alpha$", "$x^2$ &amp; &lt;b&gt;", "日本"):
        assert text in figures["accuracy_compression_params"]
    assert "$\\frac{1" in figures["layer_density"]


def test_layers_that_only_some_runs_have_are_drawn() -> None:
    def layers(*names: str) -> list[dict[str, object]]:
        return [{"name": name, "kept": 1, "total": 2} for name in names]

    runs = [
        run_record("snip", 0, [point(1, 4, 0.8, layers=layers("a", "b"), firing=[])]),
        run_record("snip", 1, [point(1, 4, 0.8, layers=layers("b"), firing=[])]),
        run_record("random", 0, [point(1, 4, 0.8, layers=layers("c"), firing=[])]),
        run_record("magnitude", 0, [point(1, 4, 0.8, layers=[])]),
    ]
    [setting] = settings_of(runs)
    assert {"layer_density", "firing"} <= drawn(setting).keys()


def test_a_network_of_thousands_of_layers_and_a_hundred_methods_have_figures() -> None:
    many = [{"name": f"layer{i}", "kept": 1, "total": 2} for i in range(5000)]
    [setting] = settings_of([run_record("snip", 0, [point(1, 4, 0.8, layers=many)])])
    assert "layer_density" in drawn(setting)
    [setting] = settings_of([run_record(f"method_{i}", 0, [point(1, 4, 0.8)]) for i in range(100)])
    assert "accuracy_compression_params" in drawn(setting)


def test_figures_drawn_twice_are_the_same_bytes() -> None:
    [setting] = settings_of(three_seeds())
    styles = styles_of(setting.methods.values())
    assert draw_all(setting, styles) == draw_all(setting, styles)
