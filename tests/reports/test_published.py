"""Published results stand beside one's own, marked, and change none of them."""

from __future__ import annotations

from pathlib import Path

import yaml

import reports.published
from benchmark.models import NAMES
from reports.curves import settings_of
from reports.published import published
from tests.reports.made_up import point, run_record

TASK = {"dataset": "mnist", "model": "lenet_300_100"}


def test_they_are_shown_where_dataset_network_and_optimiser_are_the_same() -> None:
    def titles(**options: str) -> list[str]:
        [setting] = settings_of([run_record("snip", 0, [point(1, 4, 0.9)], {**TASK, **options})])
        table = published(setting)
        return [] if table is None else list(table.numbers["source"].unique())

    adam, sgd = titles(), titles(**{"train.optimizer": "sgd"})
    assert any("table 3" in source for source in adam)
    assert not any("table 3" in source for source in sgd)
    assert any(source.endswith("table 1") and "quoted" not in source for source in sgd)
    assert titles(dataset="digits") == []
    assert titles(model="resnet_20") == []


def test_each_is_marked_says_its_source_and_stands_beside_what_was_reached_here() -> None:
    runs = [run_record("dense", s, [point(0, 1, 0.99)], TASK) for s in range(3)]
    runs += [run_record("snip", s, [point(1, 10, 0.97), point(2, 100, 0.5)], TASK) for s in range(3)]
    [setting] = settings_of(runs)
    table = published(setting)
    assert table is not None
    assert all(method.endswith("◇") for method in table.shown["method"])
    row = table.shown[(table.shown["method"] == "SNIP ◇") & (table.shown["weights kept"] == "10 %")].iloc[0]
    assert row["here"] == "97.00 ± 0.00 (3)"
    assert row["top-1 (%) ◇"] == "98.12 ± 0.1"
    assert (table.shown["source"] != "").all()
    assert (table.shown["counted, and what differs"] != "").all()


def test_every_entry_is_of_a_network_of_this_suite_and_in_range() -> None:
    found = yaml.safe_load((Path(reports.published.__file__).parent / "published.yaml").read_text())
    for task in found["tasks"]:
        assert task["model"] in NAMES
        assert task["read"] in ("first-hand", "second-hand")
        assert task["optimizer"] in (None, "sgd", "adam")
        for name, kept, top1, *std in task["rows"]:
            assert isinstance(name, str)
            assert 0 < kept <= 100
            assert 0 < top1 < 100
            assert len(std) <= 1


def test_numbers_are_as_their_source_has_them() -> None:
    found = yaml.safe_load((Path(reports.published.__file__).parent / "published.yaml").read_text())
    snip = next(t for t in found["tasks"] if t["source"].endswith("table 1") and t["model"] == TASK["model"])
    assert snip["rows"] == [["SNIP", 5, 98.4], ["SNIP", 2, 97.6]]
