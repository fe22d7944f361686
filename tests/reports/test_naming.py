"""Settings never cross protocols, and no two things have one name."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from reports.curves import said, settings_of
from reports.frames import Results
from reports.naming import by_setting, folder_name, labels
from reports.records import RunRecord
from reports.schema import Method
from reports.selection import operating_points
from tests.reports.made_up import NAME, point, run_record, three_seeds

POINT = [point(1, 2, 0.9)]


def test_runs_at_several_sparsities_are_one_curve_and_options_that_differ_are_named() -> None:
    runs = [run_record("snip", 0, [point(1, c, 0.9)], {"pruner.sparsity": 1 - 1 / c, "pruner.distribution": d})
            for c in (2, 4) for d in ("global", "erk")]  # fmt: skip
    [setting] = settings_of(runs)
    assert {label: len(method.of_seed(0)) for label, method in setting.methods.items()} == {
        "snip (distribution=erk)": 2,
        "snip (distribution=global)": 2,
    }


def test_where_a_run_was_carried_out_makes_no_other_setting_and_no_other_method() -> None:
    runs = [run_record("snip", s, POINT, {"device": f"cuda:{s}", "results": f"disk{s}"}) for s in range(3)]
    [setting] = settings_of(runs)
    assert setting.name == NAME
    assert {label: method.seeds for label, method in setting.methods.items()} == {"snip": [0, 1, 2]}


def test_different_training_recipes_are_different_settings() -> None:
    runs = [run_record("snip", 0, POINT, {"train.epochs": e}) for e in (1, 2)]
    runs.append(run_record("snip", 0, POINT, {"dataset": "mnist", "train.epochs": 3}))
    assert list(by_setting(runs)) == [
        "digits · lenet · adam · train.epochs=1 · protocol 2",
        "digits · lenet · adam · train.epochs=2 · protocol 2",
        "mnist · lenet · adam · protocol 2",
    ]


def test_protocols_and_their_numbers_are_different_settings_with_references_of_their_own() -> None:
    other = [
        run_record("dense", 0, [point(0, 1, 0.5)], {"train.epochs": 7}, protocol=protocol, number=number)
        for protocol, number in (("paper", 2), ("2", 1), ("paper", 1))
    ]
    mine = three_seeds()
    for runs in ([*mine, *other], [*other, *mine]):
        settings = {setting.name: setting for setting in settings_of(runs)}
        assert sorted(settings) == sorted([NAME, *(NAME[:-1] + end for end in ("2 paper", "1", "1 paper"))])
        assert {seed: p.top1 for seed, p in settings[NAME].dense.items()} == dict.fromkeys(range(3), 0.99)


def test_a_run_of_the_paper_protocol_or_of_other_data_is_marked_in_its_row() -> None:
    run = run_record("nnrelief", 0, POINT, protocol="paper")
    assert [label.text for label in labels([run])] == ["nnrelief†"]
    other_data = replace(run, environment=run.environment.model_copy(update={"data_verified": False}))
    assert [(label.text, label.plain) for label in labels([other_data])] == [("nnrelief†‡", "nnrelief")]


def test_two_classes_of_one_name_are_two_methods() -> None:
    runs = [run_record(f"{file}.py:Mine", 0, POINT) for file in "ab"] + [run_record("c.py:Other", 0, POINT)]
    assert [label.text for label in labels(runs)] == ["a.py:Mine", "b.py:Mine", "Other"]


def test_values_that_look_alike_are_told_apart() -> None:
    runs = [run_record("snip", 0, POINT, {"train.x": x}) for x in (None, "None")]
    names = list(by_setting(runs))
    assert len(names) == 2
    assert all(name.startswith("digits · lenet · adam · train.x=None #") for name in names)
    methods = [run_record("snip", 0, POINT, {"pruner.x": x}) for x in (None, "None")]
    assert len({label.text for label in labels(methods)}) == 2


def test_a_plain_setting_has_a_plain_folder() -> None:
    assert folder_name(NAME) == "digits-lenet-adam-protocol-2"
    assert folder_name(f"{NAME} paper") == "digits-lenet-adam-protocol-2-paper"


def test_folders_are_short_plain_and_never_shared() -> None:
    models = [
        "timm/x",
        "timm-x",
        "timm x",
        "timm_x",
        "TIMM_x",
        "timm·x",
        "timm · x",
        "..",
        ".",
        "",
        "x" * 190,
        "x" * 191,
    ]
    models += ["\\x00", "a:b", "$HOME", "con", "é", "日本"]
    names = [f"{a} · {b} · adam · protocol 2" for a, b in itertools.product(models, models)]
    names += [" · ".join([NAME, *(f"train.option_{i}={i}" for i in range(n)), "protocol 1"]) for n in range(16)]
    folders = [folder_name(name) for name in names]
    assert len({folder.lower() for folder in folders}) == len(set(names))
    assert max(map(len, folders)) <= 80
    assert all(set(folder) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.=-") for folder in folders)
    assert not any(folder.startswith((".", "-")) for folder in folders)


@pytest.mark.parametrize("protocol", ["2", "paper"])
def test_the_folder_of_a_setting_is_its_own_whatever_else_is_reported(protocol: str) -> None:
    alone = list(by_setting([run_record("snip", 0, POINT, protocol=protocol)]))
    others = [run_record("snip", 0, POINT, {"train.epochs": 9}, protocol="2" if protocol == "paper" else "paper")]
    assert alone[0] in by_setting([run_record("snip", 0, POINT, protocol=protocol), *others])


def test_an_option_that_came_later_splits_no_setting_and_no_method_but_where_it_differs() -> None:
    new = {"train.new": 0.5, "pruner.new": 1}
    old = run_record("snip", 0, POINT)
    at_default = run_record("snip", 1, POINT, new, differs=["seed"])
    changed = run_record("snip", 2, POINT, {"train.new": 0.7, "pruner.new": 1}, differs=["seed", "train.new"])
    [setting] = settings_of([old, at_default])
    assert {label: method.seeds for label, method in setting.methods.items()} == {"snip": [0, 1]}
    assert [len(runs) for runs in by_setting([old, at_default, changed]).values()] == [1, 2]
    unknown = run_record("snip", 1, POINT, new)  # of a record that does not say what differs
    assert len(by_setting([old, unknown])) == 2


def test_runs_that_differ_in_the_option_that_says_how_much_goes_are_one_curve() -> None:
    def run(decay: float, seed: int, knob: str) -> RunRecord:
        made = run_record("soft", seed, [point(0, 1, 0.9), point(1, 2 + decay, 0.8)], {"pruner.decay": decay})
        return replace(made, head=made.head.model_copy(update={"method": Method(knob=knob)}))

    assert said(('"decay=0.1"', 1)) == "target decay=0.1, round 1"
    [setting] = settings_of([run(decay, seed, "pruner.decay") for decay in (0.1, 0.3) for seed in range(2)])
    assert setting.methods["soft"].points.keys() == {('"decay=0.1"', 1), ('"decay=0.3"', 1)}
    assert [point.measured.keys() for point in operating_points(setting, setting.methods["soft"])] == [{0, 1}] * 2
    older = [run(decay, seed, "pruner.sparsity") for decay in (0.1, 0.3) for seed in range(2)]
    [setting] = settings_of([*older, run(0.2, 0, "pruner.decay"), run(0.2, 1, "pruner.decay")])
    assert setting.methods["soft"].points.keys() == {(f'"decay={decay}"', 1) for decay in (0.1, 0.2, 0.3)}
    assert set(Results([run for run, _ in setting.runs]).points["target"]) == {f"decay={d}" for d in (0.1, 0.2, 0.3)}
    [setting] = settings_of(older)
    assert setting.methods.keys() == {"soft (decay=0.1)", "soft (decay=0.3)"}
