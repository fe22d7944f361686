"""The page in a real browser: it sorts, filters and toggles, says no error, and fits on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports import build
from tests.reports.browser import found_in, needs_chromium
from tests.reports.made_up import point_row, write_results, write_run
from tests.reports.test_page import HOSTILE

pytestmark = needs_chromium
RANKED = 'all(".ranked tbody tr").filter((row) => row.checkVisibility())'


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    write_results(results, seeds=3)
    write_run(results, "hostile", [point_row(0, 1, 0.9), point_row(1, 4, 0.8)], pruner=HOSTILE, seed=0)
    return build(results).folder


def test_the_ranking_sorts_by_every_column_and_back(report: Path) -> None:
    found = found_in(
        report / "index.html",
        f"""
        const names = () => {RANKED}.map((row) => row.cells[0].textContent);
        const before = names();
        const [method, compression] = all(".ranked thead button");
        method.click(); const up = names(); method.click(); const down = names();
        compression.click(); const largest = names();
        return {{ before, up, down, largest, sort: compression.closest("th").getAttribute("aria-sort"),
                  method: method.closest("th").getAttribute("aria-sort") }};
        """,
    )
    assert found["before"][0] == found["largest"][0] == "magnitude"
    assert found["up"] == sorted(found["before"], key=str.lower) == found["down"][::-1]
    assert (found["sort"], found["method"]) == ("descending", None)


def test_words_filter_rows_and_say_how_many_are_left(report: Path) -> None:
    found = found_in(
        report / "index.html",
        f"""
        const find = document.querySelector(".setting .find");
        find.value = "SNIP"; find.dispatchEvent(new Event("input"));
        const names = {RANKED}.map((row) => row.cells[0].textContent);
        return [names, document.querySelector(".setting [aria-live]").textContent];
        """,
    )
    assert found == [["snip"], "1 shown"]


def test_a_method_is_taken_out_of_the_ranking_the_tables_and_the_charts(report: Path) -> None:
    found = found_in(
        report / "index.html",
        f"""
        const count = () => all("[data-chart=curves] svg path").length;
        const rows = () => shown(".setting .wide td:first-child").filter((cell) => cell.textContent === "snip").length;
        const before = [count(), rows()];
        const box = all(".chips input").find((each) => each.value === "snip");
        box.click(); await wait(200); const without = [count(), rows()];
        all(".chips button")[1].click(); await wait(200); const none = {RANKED}.length;
        all(".chips button")[0].click(); await wait(200);
        return {{ before, without, none, again: [count(), rows()] }};
        """,
    )
    (lines, rows), (fewer, no_rows) = found["before"], found["without"]
    assert fewer < lines
    assert (rows > 1, no_rows, found["none"]) == (True, 0, 0)
    assert found["again"] == found["before"]


def test_the_allowed_drop_chooses_sentences_and_rows(report: Path) -> None:
    found = found_in(
        report / "index.html",
        f"""
        const said = () => shown(".said li");
        const told = () => [said().length, {RANKED}.length, said()[0].textContent];
        const before = told();
        all("#allowed input")[2].click();
        return [before, told()];
        """,
    )
    assert [each[:2] for each in found] == [[3, 3], [3, 3]]
    assert "within 1 point of" in found[0][2]
    assert "within 2 points of" in found[1][2]


def test_charts_are_drawn_across_every_axis_and_a_tip_tells_a_point(report: Path) -> None:
    found = found_in(
        report / "index.html",
        """
        const chart = document.querySelector("[data-chart=curves]");
        const select = chart.querySelector("[name=x]");
        const drawn = [];
        for (const option of select.options) {
          select.value = option.value; select.dispatchEvent(new Event("change")); await wait(50);
          drawn.push(chart.querySelectorAll("svg path").length > 5);
        }
        const svg = chart.querySelector("svg");
        const { x, y } = svg.querySelector("[aria-label=dot] path, [aria-label=dot] circle").getBoundingClientRect();
        const over = { clientX: x + 2, clientY: y + 2, bubbles: true, pointerType: "mouse" };
        svg.dispatchEvent(new PointerEvent("pointermove", over));
        await wait(100);
        return { drawn, tip: chart.querySelector("[aria-label=tip]").textContent };
        """,
    )
    assert len(found["drawn"]) >= 4
    assert all(found["drawn"])
    assert "%" in found["tip"]


@pytest.mark.parametrize("width", [400, 1600])
def test_nothing_is_wider_than_the_screen(report: Path, width: int) -> None:
    script = "await wait(300); return [innerWidth, document.documentElement.scrollWidth, all('.plot svg').length];"
    for page in (report / "index.html", report / "runs" / "magnitude-0.html"):
        window, scroll, charts = found_in(page, script, width)
        assert window == width
        assert scroll <= width
        assert charts


def test_all_can_be_reached_by_keyboard_and_is_named(report: Path) -> None:
    found = found_in(
        report / "index.html",
        """
        const controls = all("button, input, select, a[href], summary");
        const named = (each) => each.labels?.length || each.textContent.trim() || each.getAttribute("aria-label");
        const scrolled = all(".wide").filter((each) => each.scrollWidth > each.clientWidth + 1);
        return {
          unreached: controls.filter((each) => each.tabIndex < 0).length,
          unnamed: controls.filter((each) => !named(each) && !each.querySelector("img[alt]")).map((e) => e.outerHTML),
          silent: all("img:not([alt]), [role=img]:not([aria-label])").length,
          scrolled: scrolled.filter((each) => each.tabIndex < 0 && !each.querySelector("a, button")).length,
        };
        """,
        400,
    )
    assert found == {"unreached": 0, "unnamed": [], "silent": 0, "scrolled": 0}


def test_dark_colours_are_chosen_and_lines_stay_visible(report: Path) -> None:
    found = found_in(
        report / "index.html",
        """
        const paper = () => getComputedStyle(document.body).backgroundColor;
        const black = () => all("[data-chart=curves] [aria-label=line] path[stroke='#000000']").length;
        const theme = document.getElementById("theme");
        const change = async (value) => {
          theme.value = value; theme.dispatchEvent(new Event("change")); await wait(200);
          return [paper(), black() > 0];
        };
        return [await change("light"), await change("dark")];
        """,
    )
    assert found == [["rgb(255, 255, 255)", True], ["rgb(21, 23, 27)", False]]  # snip is black in print


def test_hostile_names_are_texts(report: Path) -> None:
    script = 'return [all("img[src=x]").length, all(".chips label").map((each) => each.textContent)];'
    images, labels = found_in(report / "index.html", script)
    assert images == 0
    assert HOSTILE in labels
