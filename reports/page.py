"""The pages of a report: one that holds all it needs, and one a run. All texts from records are escaped."""

from __future__ import annotations

import base64
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from benchmark.records import DROPS
from reports.conclusion import conclusions, points_of_accuracy
from reports.curves import Key, Method, Setting, said
from reports.differences import ALLOWED
from reports.figures import Figures
from reports.figures.cost import AT, dense_by_budget, reached
from reports.figures.means import COMPRESSION, heading
from reports.folder import Content
from reports.records import RunRecord
from reports.run_page import page_names, run_page
from reports.schema import Point, printable
from reports.styles import Style
from reports.table import Table
from reports.tables import measured_speedups

TEMPLATES = Path(__file__).parent / "templates"
ASSETS = {"d3.min.js": "vendor/d3.min.js", "plot.umd.min.js": "vendor/plot.umd.min.js", "page.js": "page.js"}
LARGEST = 5_900_000  # bytes of the page; figures for which there is no room are shown from the files beside it
THINNED = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # the share of points and rows that are left out where data alone are more
LISTED = 50  # rows that every list keeps
COLUMNS = (
    *(("method", "text"), ("compression", "number"), ("speed-up, structural", "number")),
    *(("test drop, points", "number"), ("test drop is", "text"), ("training, × dense", "number"), ("seeds", "number")),
)


@dataclass(frozen=True)
class Part:
    """What the page shows of a setting."""

    setting: Setting
    folder: str
    tables: list[Table]
    figures: Figures
    styles: Mapping[str, Style]


@dataclass
class Pages:
    """The pages of a report whose other files are `files`, by path."""

    runs: Sequence[RunRecord]
    files: Mapping[str, Content]
    source: Path | str
    out: Path
    css: str = field(default=(TEMPLATES / "page.css").read_text(), init=False)

    def made(
        self, parts: Sequence[Part], across: Sequence[Table], over: Figures, problems: Table
    ) -> dict[str, Content]:
        """The pages and what those of the runs use, by path."""
        shown = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
        shown.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":")}
        assets = {name: (TEMPLATES / path).read_text() for name, path in ASSETS.items()}
        pages = dict(zip(map(id, self.runs), page_names(self.runs), strict=True))
        single = shown.get_template("run.html")
        made: dict[str, Content] = {f"assets/{name}": text.encode() for name, text in assets.items()}
        made |= {f"runs/{pages[id(run)]}": partial(self._of_run, single, run) for run in self.runs}
        known = [run for run in self.runs if run.config]
        content = {
            "css": self.css,
            "d3": assets["d3.min.js"],
            "plot": assets["plot.umd.min.js"],
            "script": assets["page.js"],
            "across_shown": bool(across or over.titles),
            "across_figures": self._figures(over, ""),
            "count": len(self.runs),
            "links": any(run.folder for run in self.runs),
            "downloads": self._downloads("points", ""),
            "source": printable(self.source.name or "DIR" if isinstance(self.source, Path) else self.source),
            "marked": any(run.marks for run in known),
            "protocols": ", ".join(sorted({run.rules.removeprefix("protocol ") for run in known})),
            "commits": ", ".join(sorted({str(run.environment.commit) for run in known})),
            "hardware": ", ".join(sorted({run.environment.hardware.device for run in known})),
            "allowed": [points_of_accuracy(d) for d in DROPS],
            "default": points_of_accuracy(ALLOWED),
            "columns": COLUMNS,
        }
        drawn = [self._part(part) for part in parts]
        rows = [self._run(run, pages[id(run)]) for run in self.runs]
        page = b""
        for thin in THINNED:
            page = (
                shown.get_template("index.html")
                .render(
                    **content,
                    thin=thin,
                    parts=[self._thinned(part, thin) for part in drawn],
                    across=[self._table(table, "", thin) for table in across],
                    problems=self._table(problems, "", thin),
                    runs=_first(rows, thin),
                    data={"parts": [_data(part, pages, thin) for part in parts]},
                )
                .encode()
            )
            if len(page) <= LARGEST:
                break
        return {**made, "index.html": partial(self._with_pictures, page)}

    def _of_run(self, template: Template, run: RunRecord) -> bytes:
        """The page of a run."""
        return template.render(run=run, css=self.css, links=self._link(run, "../"), **run_page(run)).encode()

    def _part(self, part: Part) -> dict[str, Any]:
        resolution = part.setting.resolution
        rows = conclusions(part.setting, part.tables[0])
        first = [row for row in rows if row.allowed == points_of_accuracy(ALLOWED) and row.compression > 1][:3]
        return {
            "name": part.setting.name,
            "folder": part.folder,
            "rows": rows,
            "first": ", ".join(f"{row.method} {row.compression_text}" for row in first),
            "methods": list(part.setting.methods.values()),
            "axes": _axes(part.setting),
            "ratios": AT,
            "one_image": f"{100 * resolution:.2g}" if resolution else "",
            "tables": part.tables,
            "figures": self._figures(part.figures, f"{part.folder}/"),
            "left_out": part.figures.left_out,
        }

    def _thinned(self, part: dict[str, Any], thin: int) -> dict[str, Any]:
        """A part with the first of its rows and of its tables'."""
        by_drop = [[row for row in part["rows"] if row.allowed == points_of_accuracy(d)] for d in DROPS]
        tables = [self._table(table, f"{part['folder']}/", thin) for table in part["tables"]]
        return {**part, "rows": [row for rows in by_drop for row in _first(rows, thin)], "tables": tables}

    def _table(self, table: Table, place: str, thin: int) -> dict[str, Any]:
        shown = replace(table, shown=_first(table.shown, thin))
        return {"table": shown, "files": self._downloads(table.name, place)}

    def _figures(self, figures: Figures, place: str) -> list[dict[str, Any]]:
        found = []
        for stem, title in figures.titles.items():
            files = self._downloads(stem, place)
            forms = dict(files)
            link = forms.get("svg") or forms.get("png", "")
            picture = quote(path) if (path := f"{place}{stem}.png") in self.files else link
            found.append({"title": title, "link": link, "source": picture, "files": files})
        return found

    def _with_pictures(self, page: bytes) -> bytes:
        """The page with its pictures in it, while there is room; the others stay in the files beside it."""
        room = LARGEST - len(page)

        def source(found: re.Match[bytes]) -> bytes:
            nonlocal room
            content = self.files[unquote(found[0].decode())]
            encoded = b"data:image/png;base64," + base64.b64encode(content() if callable(content) else content)
            if len(encoded) > room:
                return found[0]
            room -= len(encoded)
            return encoded

        return re.sub(rb'(?<=<img src=")[^"]+\.png(?=")', source, page)

    def _downloads(self, stem: str, place: str) -> list[tuple[str, str]]:
        forms = ("csv", "md", "tex", "svg", "pdf", "png")
        return [(form, quote(path)) for form in forms if (path := f"{place}{stem}.{form}") in self.files]

    def _run(self, run: RunRecord, name: str) -> dict[str, Any]:
        return {
            "name": run.name,
            "page": quote(name),
            "link": self._link(run, ""),
            "method": run.method if run.config else "",
            "seed": run.seed if run.config else "",
            "state": run.problem or run.status.state,
            "points": len(run.points),
        }

    def _link(self, run: RunRecord, up: str) -> str:
        """The way from the report to the record of a run; empty where that is not here."""
        if run.folder is None:
            return ""
        return up + quote(os.fsencode(os.path.relpath(run.folder.resolve(), self.place)))

    @cached_property
    def place(self) -> Path:
        """Where the report really lies."""
        return self.out.resolve()


def _axes(setting: Setting) -> list[tuple[str, str]]:
    """What accuracy can be looked at against, by name, with what the axis says."""
    names = (COMPRESSION, "speedup_theoretical", "speedup_structural", *measured_speedups(setting))
    return [*((name, heading(name)) for name in names), ("budget", "Training, × dense (epochs)")]


def _first(rows: Any, thin: int) -> Any:
    """The first of these rows."""
    return rows[: max(LISTED, len(rows) // thin)]


def _data(part: Part, page_of: Mapping[int, str], thin: int) -> dict[str, Any]:
    """What the charts of a setting are drawn from: columns, numbers with as many digits as can be seen."""
    setting, axes = part.setting, _axes(part.setting)
    dense = list(setting.dense.values())
    columns: dict[str, list[Any]] = {k: [] for k in ("method", "seed", "key", "top1", "val_top1", "collapsed", "run")}
    columns |= {name: [] for name, _ in axes}
    keys: dict[str, int] = {}
    runs: dict[str, int] = {}
    pages = {id(point): page_of[id(run)] for run, _ in setting.runs for point in run.points}
    for number, method in enumerate(setting.methods.values()):
        items = sorted(method.points.items(), key=_compression)  # of which the last, the smallest, stays
        for key, by_seed in items[(len(items) - 1) % thin :: thin]:
            for seed, point in by_seed.items():
                budget = setting.dense[seed].epochs_total if seed in setting.dense else 0
                row = {
                    "method": number,
                    "seed": seed,
                    "key": keys.setdefault(said(key), len(keys)),
                    "top1": _short(point.top1),
                    "val_top1": _short(point.val_top1),
                    "collapsed": int(point.collapsed),
                    "run": runs.setdefault(f"runs/{quote(pages[id(point)])}", len(runs)),
                    "budget": _short(point.epochs_total / budget) if budget and point.epochs_total else None,
                    **{name: _short(point.value(name)) for name, _ in axes[:-1]},
                }
                for name, values in columns.items():
                    values.append(row[name])
    return {
        "methods": [_method(method, part.styles) for method in setting.methods.values()],
        "axes": dict(axes),
        "dense": {
            **{
                y: _short(sum(getattr(p, y) for p in dense) / len(dense)) if dense else None
                for y in ("top1", "val_top1")
            },
        },
        "keys": list(keys),
        "runs": list(runs),
        "points": columns,
        "cost": _cost(setting),
        "longer": [{"budget": _short(x), "top1": _short(y)} for x, y in dense_by_budget(setting)],
    }


def _compression(operating: tuple[Key, dict[int, Point]]) -> float:
    """The largest compression at an operating point."""
    return max(point.compression_params or math.inf for point in operating[1].values())


def _method(method: Method, styles: Mapping[str, Style]) -> dict[str, Any]:
    style = styles[method.plain]
    marker = style["marker"] if isinstance(style["marker"], str) else "o"
    return {"label": method.label, "colour": style["color"], "marker": marker, "seeds": len(method.seeds)}


def _cost(setting: Setting) -> list[dict[str, Any]]:
    rows = []
    for ratio in AT:
        found = reached(setting, ratio)
        for number, label in enumerate(setting.methods):
            if label in found:
                budget, top1 = found[label]
                low, high = (_short(v) if top1.n > 1 else None for v in (top1.low, top1.high))
                numbers = {"budget": _short(budget.mean), "top1": _short(top1.mean), "low": low, "high": high}
                rows.append({"ratio": ratio, "method": number, **numbers})
    return rows


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")
