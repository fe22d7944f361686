"""The figures say what is not in them, and show odd names as they are."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from benchmark.records import write_masks
from reports import load
from reports.curves import Setting, settings_of
from reports.figures import draw_all
from reports.figures.house import LOOKS
from reports.masks import jaccard
from reports.press import FORMS
from reports.problems import problems
from reports.records import RunRecord
from reports.schema import Point, checked
from reports.styles import styles_of
from tests.reports.made_up import point, point_row, run_record, three_seeds, write_run

ACCURACY = "accuracy_compression_params"
AXES = (ACCURACY, "accuracy_speedup_theoretical", "accuracy_speedup_structural")


def drawn(setting: Setting, *only: str, look: str = "paper") -> dict[str, str]:
    """The texts in the figures, by stem, in one piece."""
    figures = draw_all(setting, styles_of(setting.methods.values()), look, only or None)
    return {stem: re.sub(r"(<[^>]*>|\s)+", " ", figures.files[f"{stem}.svg"]().decode()) for stem in figures.titles}


def at_ratios(*ratios: float, **more: object) -> list[Point]:
    """A run's points at some compressions, one a round, each a little worse, before and after retraining."""
    points = [point(0, 1, 0.99)]
    for number, ratio in enumerate(ratios, 1):
        fields = {"stage": "pruned", "epochs_total": 10 * number, "target_sparsity": 1 - 1 / ratio}
        points.append(point(number, ratio, 0.5, **{**more, **fields}))
        points.append(point(number, ratio, 0.99 - 0.002 * number, **more))
    return points


@pytest.mark.parametrize("compression", [4, 1])
def test_without_a_dense_run_there_are_figures_and_the_reader_is_told(compression: float) -> None:
    runs = [run_record("snip", 0, [point(1, compression, 0.9)])]
    [setting] = settings_of(runs)
    assert ACCURACY in drawn(setting)
    why = set(problems(runs, [setting]).shown["why"])
    assert "no dense run of seeds 0 to compare with: --pruner dense makes it" in why


def test_points_that_are_collapsed_below_the_axis_or_without_a_place_are_counted() -> None:
    rounds = [point(0, 1, 0.99), point(1, 4, 0.98), point(2, 64, 0.1, collapsed=True)]
    gone = point(3, None, 0.1, collapsed=True)
    [setting] = settings_of([run_record("snip", s, [*rounds, gone]) for s in range(3)])
    figure = drawn(setting, ACCURACY)[ACCURACY]
    assert "3 of 9 points lie below the axis, drawn at its foot; lowest 10.0 %" in figure
    assert "6 of 9 points are collapsed (crosses)" in figure
    assert "3 of 9 points have nothing left, so no place here" in figure


def test_where_no_run_has_a_place_on_the_axis_there_are_figures_all_the_same() -> None:
    [setting] = settings_of([run_record("snip", 0, [point(1, None, 0.1, collapsed=True)])])
    assert "1 of 1 points have nothing left" in drawn(setting)[ACCURACY]


def test_odd_names_are_shown_as_they_are() -> None:
    layers = [{"name": "$\\frac{1", "kept": 1, "total": 2}]
    runs = [
        run_record(pruner, 0, [point(0, 1, 0.9), point(1, 4, 0.8, layers=layers)], {"model": "$x^2$ & <b>"})
        for pruner in ("m.py:_Hidden", "$\\alpha$", "日本")
    ]
    [setting] = settings_of(runs)
    figures = drawn(setting)
    for text in ("_Hidden", "$\\alpha$", "$x^2$ &amp; &lt;b&gt;", "日本"):
        assert text in figures[ACCURACY]
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
    assert "layer_density" in drawn(setting, "layer_density")
    [setting] = settings_of([run_record(f"method_{i}", 0, [point(1, 4, 0.8)]) for i in range(100)])
    for look in LOOKS:
        assert ACCURACY in drawn(setting, ACCURACY, look=look)


@pytest.mark.usefixtures("every_form")
def test_figures_drawn_twice_are_the_same_bytes_in_every_form() -> None:
    [setting] = settings_of(three_seeds())
    styles = styles_of(setting.methods.values())
    figures = draw_all(setting, styles)
    assert {f"{stem}.{form}" for stem in figures.titles for form in FORMS} == figures.files.keys()
    again = draw_all(setting, styles)
    assert {name: file() for name, file in again.files.items()} == {n: file() for n, file in figures.files.items()}


def test_a_figure_that_would_equal_another_is_left_out_and_said() -> None:
    [setting] = settings_of([run_record("magnitude", s, at_ratios(4, 16)) for s in range(3)])
    styles = styles_of(setting.methods.values())
    figures = draw_all(setting, styles, only=AXES)
    assert figures.titles.keys() == {ACCURACY}
    [theoretical, structural] = figures.left_out
    assert theoretical.startswith("accuracy_speedup_theoretical: within 10 % everywhere it is accuracy_compression_par")
    assert structural.startswith("accuracy_speedup_structural")
    [other] = settings_of([run_record("magnitude", s, at_ratios(4, 16, speedup_structural=1.1)) for s in range(3)])
    assert "accuracy_speedup_structural" in drawn(other, "accuracy_speedup_structural")


def test_cost_is_drawn_where_every_seed_reaches_the_compression_and_who_does_not_is_named() -> None:
    runs = [run_record("magnitude", s, at_ratios(4, 16)) for s in range(3)]
    runs += [run_record("snip", s, at_ratios(4, 9 if s else 7)) for s in range(3)]
    [setting] = settings_of(runs)
    text = drawn(setting, "accuracy_cost")["accuracy_cost"]
    assert "not reached by every seed at 8×: snip; not reached by every seed at 16×: snip" in text


def test_methods_that_prune_before_training_are_not_in_the_figure_of_retraining() -> None:
    late = [run_record("magnitude", s, at_ratios(4, 16)) for s in range(2)]
    first = point(1, 4, 0.1, stage="pruned", epochs_total=0)
    early = [run_record("snip", s, [first, point(1, 4, 0.9)]) for s in range(2)]
    [setting] = settings_of([*late, *early])
    text = drawn(setting, "retraining")["retraining"]
    assert "magnitude" in text
    assert "snip" not in text
    [setting] = settings_of(early)
    assert "retraining" not in drawn(setting, "retraining")


def test_layers_are_compared_at_equal_compression_between_measured_points() -> None:
    def layers(kept: int) -> list[dict[str, object]]:
        return [{"name": "fc1", "kept": kept, "total": 100}]

    rows = [
        point(0, 1, 0.99, layers=layers(100)),
        point(1, 8, 0.98, layers=layers(30)),
        point(2, 32, 0.9, layers=layers(10)),
    ]
    far = [point(0, 1, 0.99, layers=layers(100)), point(1, 4, 0.98, layers=layers(47))]
    [setting] = settings_of([run_record("magnitude", 0, rows), run_record("snip", 0, far)])
    text = drawn(setting, "layer_density")["layer_density"]
    assert " 20 " in text  # halfway between 8× and 32× on a logarithmic axis
    assert "snip (4×) " in text
    assert " 47 " in text


def test_firing_is_shown_at_the_nearest_point_that_has_it() -> None:
    points = [point(0, 1, 0.99), point(1, 8, 0.98), point(2, 16, 0.97, firing=[])]
    [setting] = settings_of([run_record("snip", seed, points) for seed in range(3)])
    assert "snip (8×)" in drawn(setting, "firing")["firing"]


def test_agreement_of_masks_is_shared_over_either() -> None:
    def bits(*kept: int) -> dict[str, np.ndarray]:
        return {"w": np.packbits([i in kept for i in range(16)])}

    assert jaccard(bits(0, 1, 2), bits(1, 2, 9)) == 0.5
    assert jaccard(bits(0), bits(9)) == 0
    assert jaccard(bits(), bits()) == 1
    assert jaccard(bits(3), {"other": bits(3)["w"]}) == 1


def test_masks_of_records_are_drawn_where_two_methods_have_them(tmp_path: Path) -> None:
    for pruner, kept in (("magnitude", (0, 1, 2)), ("snip", (1, 2, 9))):
        masks = {"w": np.isin(np.arange(16), kept)}
        sha256 = hashlib.sha256(b"w(16,)torch.bool" + masks["w"].tobytes()).hexdigest()
        row = point_row(1, 16, 0.9, masks_sha256=sha256)
        folder = write_run(tmp_path, pruner, [point_row(0, 1, 0.9), row], pruner=pruner)
        write_masks(folder, sha256, masks)
    [setting] = load(tmp_path).settings
    assert " 50 " in drawn(setting, "agreement")["agreement"]
    next(folder.glob("masks-*")).write_bytes(b"damaged")
    assert "agreement" not in drawn(setting, "agreement")


def test_realised_sparsity_is_drawn_against_what_the_round_asked_for() -> None:
    [setting] = settings_of([run_record("magnitude", s, at_ratios(4, 16)) for s in range(2)])
    assert "Weights asked to be kept (%)" in drawn(setting, "targets")["targets"]
    [setting] = settings_of([run_record("nnrelief", s, [point(0, 1, 0.9), point(1, 4, 0.9)]) for s in range(2)])
    assert "targets" not in drawn(setting, "targets")


@pytest.mark.parametrize("look", LOOKS)
def test_letters_have_their_size_in_print(look: str) -> None:
    [setting] = settings_of([run_record("magnitude", s, at_ratios(4, 16)) for s in range(3)])
    svg = draw_all(setting, styles_of(setting.methods.values()), look, [ACCURACY]).files[f"{ACCURACY}.svg"]().decode()
    width = re.search(r'width="([\d.]+)pt"', svg)
    assert width is not None
    assert float(width[1]) == pytest.approx(72 * LOOKS[look].width)
    sizes = {float(size) for size in re.findall(r"font(?:-size)?: ([\d.]+)px", svg)}
    assert min(sizes) >= LOOKS[look].font - 1


def test_measured_speed_ups_are_an_axis_and_stand_beside_the_counted_ones() -> None:
    def run(seed: int) -> RunRecord:
        rows = [point_row(0, 1, 0.99, speedup_measured_dense=1.0), point_row(1, 16, 0.98, speedup_measured_dense=1.7)]
        return run_record("magnitude", seed, [checked(Point, row) for row in rows])

    [setting] = settings_of([run(s) for s in range(3)])
    axis = "accuracy_speedup_measured_dense"
    texts = drawn(setting, axis, "speedups")
    assert axis in texts
    assert " 1.7× " in texts["speedups"]
