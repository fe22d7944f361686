"""The page of a report says what the numbers say, holds all it needs, and runs no text of a record."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from benchmark.config import read_arguments, run_config
from reports import build, load, page as pages, run_page as run_pages
from reports.conclusion import conclusions
from reports.curves import settings_of
from reports.records import UNKNOWN, RunRecord
from reports.run_page import command, page_names, run_page
from reports.schema import Epoch, Head, checked
from reports.tables import smallest_networks
from tests.reports.made_up import NAME, point, point_row, run_record, write_results, write_run

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;"


def _data_of(page: str) -> Any:
    """What the charts of a page are drawn from."""
    return json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)[0])


def sentences(runs: list[RunRecord], allowed: str = "1") -> dict[str, str]:
    [setting] = settings_of(runs)
    rows = conclusions(setting, smallest_networks(setting))
    return {row.method: row.sentence for row in rows if row.allowed == allowed}


def seeds_of(pruner: str, tops: dict[float, float], spread: float = 0.0) -> list[RunRecord]:
    """Three seeds of a method with these accuracies at these compressions, some apart."""
    rounds = list(enumerate(tops.items(), 1))
    return [
        run_record(pruner, s, [point(0, 1, 0.99), *(point(r, x, y + spread * (s - 1)) for r, (x, y) in rounds)])
        for s in range(3)
    ]


def test_the_sentence_of_a_method_is_made_of_its_numbers() -> None:
    said = sentences(seeds_of("magnitude", {4: 0.988, 16: 0.984, 64: 0.5}, spread=0.001))["magnitude"]
    assert said == (
        "16.0× smaller within 1 point of dense on validation; test drop 0.6 [0.4, 0.8] points at 3 seeds, shown to be "
        "at most 1 point; 3.0× the training of dense. No other method reaches that size."
    )


def test_a_method_that_lost_nothing_at_its_last_point_is_at_least_so_small() -> None:
    said = sentences(seeds_of("lamp", {4: 0.988, 16: 0.984}))["lamp"]
    assert said.startswith("at least 16.0× smaller within 1 point of dense on validation; ")


def test_methods_are_ranked_by_size_and_said_to_be_alike_or_not() -> None:
    far = seeds_of("random", {4: 0.9, 16: 0.6}, spread=0.002)
    near = seeds_of("lamp", {4: 0.988, 32: 0.982}, spread=-0.001)
    said = sentences([*seeds_of("magnitude", {4: 0.988, 16: 0.984}, spread=0.001), *near, *far])
    assert list(said) == ["lamp", "magnitude", "random"]
    assert said["random"] == "no operating point within 1 point of dense on validation, so it counts as 1× (3 seeds)."
    assert said["magnitude"].endswith("At that size not separable from lamp; shown to be better than random.")
    assert said["lamp"].endswith("No other method reaches that size.")


def test_without_a_dense_network_the_sentence_says_so() -> None:
    assert sentences([run_record("snip", 0, [point(1, 4, 0.9)])])["snip"].startswith("no dense network")


def test_failed_seeds_stand_in_the_sentence() -> None:
    runs = seeds_of("snip", {4: 0.989})
    runs[2] = run_record("snip", 2, [point(0, 1, 0.99)], state="failed", reason="x")
    assert "so it counts as 1×" in sentences(runs)["snip"]  # chance is far below


def test_the_page_needs_no_other_file_and_no_network(tmp_path: Path, every_form: None) -> None:
    write_results(tmp_path)
    page = (build(tmp_path).folder / "index.html").read_text()
    assert len(page.encode()) < 6_000_000
    assert re.findall(r'(?:src|srcset)="(?!data:)[^"]*"', page) == []
    assert re.findall(r"<link|@import|url\(", page.split("<script", 1)[0]) == []
    assert "data:image/png;base64," in page


def test_every_table_and_figure_can_be_downloaded(tmp_path: Path) -> None:
    write_results(tmp_path)
    folder = build(tmp_path).folder
    page = (folder / "index.html").read_text()
    offered = {unescape(path) for path in re.findall(r'href="([^"#]+)" download', page)}
    assert all((folder / path).is_file() for path in offered)
    written = {
        p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.suffix in (".csv", ".md", ".tex", ".svg")
    }
    assert written <= offered


def test_every_run_has_a_page_that_its_name_leads_to(tmp_path: Path) -> None:
    write_results(tmp_path)
    write_run(tmp_path, "a#b?c%20<i>", [point_row(0, 1, 0.9), point_row(1, 4, 0.8)])
    folder = build(tmp_path).folder
    page = (folder / "index.html").read_text()
    links = re.findall(r'<a href="(runs/[^"]+)">', page)
    assert len(links) == len(load(tmp_path).records)
    assert all((folder / link).is_file() for link in links)
    assert 'href="../runs/a%23b%3Fc%2520%3Ci%3E"' in page


def test_pages_of_runs_with_odd_or_equal_names_are_apart() -> None:
    names = ["a", "A", "a", "../x", "x" * 500, "", "日本", "con.html"]
    found = page_names([RunRecord(name, UNKNOWN) for name in names])
    assert len({name.lower() for name in found}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_=.-]{1,170}\.html", name) and not name.startswith(".") for name in found)


@pytest.mark.parametrize(
    "options",
    [
        {"pruner": "nnrelief", "pruner.rounds": 3, "seed": 2},
        {"pruner": "snip", "pruner.sparsity": 0.5, "pruner.structure": "2:4", "train.optimizer": "sgd"},
        {"pruner": "magnitude", "train.decay_at": [0.3, 0.6], "spare": ["fc1*"], "stop_drop": 0.1},
        {"pruner": "dense", "model": "resnet_20(shortcut='b')", "dataset": "mnist", "train.epochs": 3},
        {"recipe": "nnrelief/resnet_20_cifar10_sgd"},
    ],
)
def test_the_command_on_a_runs_page_makes_the_same_run(options: dict[str, Any]) -> None:
    config = run_config(options)
    record = RunRecord("a", Head.model_validate(json.loads(json.dumps(config.head, default=str))))
    program, run, *arguments = shlex.split(command(record))
    assert (program, run) == ("prunebench", "run")
    assert run_config(read_arguments(arguments)).id == config.id


def test_texts_of_records_are_shown_and_never_run(tmp_path: Path) -> None:
    write_results(tmp_path)
    more = {"pruner": HOSTILE, "dataset": "digits", "pruner.x": HOSTILE}
    write_run(tmp_path, "hostile", [point_row(0, 1, 0.9), point_row(1, 4, 0.8)], **more)
    write_run(tmp_path, "setting", [point_row(0, 1, 0.9), point_row(1, 4, 0.8)], model=HOSTILE)
    folder = build(tmp_path).folder
    for page in (folder / "index.html", *sorted((folder / "runs").glob("*.html"))):
        text = page.read_text()
        own = text.count("<script")
        assert own == text.count("</script>") == 4, page
        assert "<img src=x" not in text
        assert "onerror=alert(2)>" not in text
    data = _data_of((folder / "index.html").read_text())
    assert any(method["label"] == HOSTILE for part in data["parts"] for method in part["methods"])
    assert NAME in (folder / "index.html").read_text()


def test_a_page_that_data_alone_would_fill_is_thinned_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_results(tmp_path, seeds=40)  # 160 runs
    whole = (build(tmp_path).folder / "index.html").read_text()
    assert "more than a page can hold" not in whole
    monkeypatch.setattr(pages, "LARGEST", len(whole.encode()) - 10_000)
    folder = build(tmp_path).folder
    thinned = (folder / "index.html").read_text()
    assert len(thinned.encode()) <= pages.LARGEST
    assert "charts have one of 2 operating points" in thinned
    assert thinned.count('<a href="runs/') == 80
    assert len(list((folder / "runs").iterdir())) == 160
    assert len((folder / "points.csv").read_text().splitlines()) == 1 + 40 * 7
    drawn = [len(_data_of(text)["parts"][0]["points"]["method"]) for text in (whole, thinned)]
    assert drawn == [40 * 5, 40 * 3]  # of magnitude's three rounds the first and last, of two targets of snip one


def test_pictures_stay_beside_the_page_where_there_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_form: None
) -> None:
    write_results(tmp_path)
    whole = (build(tmp_path).folder / "index.html").read_text()
    pictures = whole.count("data:image/png;base64,")
    monkeypatch.setattr(pages, "LARGEST", len(whole) - 1)
    folder = build(tmp_path).folder
    fewer = (folder / "index.html").read_text()
    [beside] = re.findall(r'<img src="([^"]+\.png)"', fewer)
    assert (folder / beside).is_file()
    assert fewer.count("data:image/png;base64,") == pictures - 1


def test_the_page_of_a_long_run_shows_some_of_its_epochs_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_pages, "EPOCHS", 4)
    run = run_record("snip", 0, [point(0, 1, 0.9)])
    assert run_page(run)["left_out"] == []
    epochs = [checked(Epoch, {"epoch": n, "round": 0, "val_top1": n / 10}) for n in range(1, 10)]
    shown = run_page(replace(run, epochs=epochs))
    assert shown["left_out"] == ["1 of 3 epochs"]
    assert (shown["data"]["epoch"], shown["data"]["val_top1"]) == ([1, 4, 7], [0.1, 0.4, 0.7])


def test_of_many_settings_the_conclusion_is_folded_and_names_the_smallest(tmp_path: Path) -> None:
    for model in ("a", "b", "c"):
        rows = [point_row(0, 1, 0.99), point_row(1, 4, 0.985)]
        write_run(tmp_path, model, rows, model=model)
        write_run(tmp_path, f"dense-{model}", rows[:1], pruner="dense", model=model)
    page = (build(tmp_path).folder / "index.html").read_text()
    conclusion = page[page.index('<section id="conclusion">') :].partition("</section>")[0]
    assert conclusion.count("<details>") == 3
    assert conclusion.count("within 1 point: magnitude ≥ 4.0×") == 3
