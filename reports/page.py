"""The pages of a report: one that holds all it needs, and one a run. All texts from records are escaped."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmark.records import DROPS
from reports.conclusion import conclusions, points_of_accuracy
from reports.curves import Method, Setting
from reports.differences import ALLOWED
from reports.figures import Figures
from reports.figures.cost import AT, dense_by_budget, reached
from reports.figures.means import COMPRESSION, heading
from reports.records import RunRecord
from reports.run_page import page_names, run_page
from reports.schema import printable
from reports.styles import Style
from reports.table import Table
from reports.tables import measured_speedups

TEMPLATES = Path(__file__).parent / "templates"
ASSETS = {"d3.min.js": "vendor/d3.min.js", "plot.umd.min.js": "vendor/plot.umd.min.js", "page.js": "page.js"}
LARGEST = 5_500_000  # bytes of the page; figures for which there is no room are shown from the files beside it
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
    files: Mapping[str, bytes]
    source: Path | str
    out: Path
    room: int = field(default=LARGEST, init=False)  # bytes for figures

    def made(self, parts: Sequence[Part], across: Sequence[Table], over: Figures, problems: Table) -> dict[str, bytes]:
        """The pages and what those of the runs use, by path."""
        shown = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
        shown.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":")}
        css = (TEMPLATES / "page.css").read_text()
        assets = {name: (TEMPLATES / path).read_text() for name, path in ASSETS.items()}
        names = page_names(self.runs)
        page_of = {id(run): name for run, name in zip(self.runs, names, strict=True)}
        single = shown.get_template("run.html")
        made = {f"assets/{name}": text.encode() for name, text in assets.items()}
        for run, name in zip(self.runs, names, strict=True):
            links = self._link(run, "../")
            made[f"runs/{name}"] = single.render(run=run, css=css, links=links, **run_page(run)).encode()
        known = [run for run in self.runs if run.config]
        data = {"parts": [_data(part, page_of) for part in parts]}
        rows = [self._run(run, name) for run, name in zip(self.runs, names, strict=True)]
        tables = [*across, problems, *(table for part in parts for table in part.tables)]
        self.room -= sum(map(len, [*assets.values(), json.dumps(data), *(table.html for table in tables)]))
        self.room -= sum(len(str(row)) + 400 for row in rows)  # what a row of the list of runs takes, about
        made["index.html"] = (
            shown.get_template("index.html")
            .render(
                css=css,
                d3=assets["d3.min.js"],
                plot=assets["plot.umd.min.js"],
                script=assets["page.js"],
                parts=[self._part(part) for part in parts],
                across={
                    "shown": bool(across or over.titles),
                    "tables": [self._table(table, "") for table in across],
                    "figures": self._figures(over, ""),
                },
                problems=self._table(problems, ""),
                runs=rows,
                links=any(run.folder for run in self.runs),
                downloads=self._downloads("points", ""),
                source=printable(self.source.name or "DIR" if isinstance(self.source, Path) else self.source),
                marked=any(run.marks for run in known),
                protocols=", ".join(sorted({run.rules.removeprefix("protocol ") for run in known})),
                commits=", ".join(sorted({str(run.environment.commit) for run in known})),
                hardware=", ".join(sorted({run.environment.hardware.device for run in known})),
                allowed=[points_of_accuracy(d) for d in DROPS],
                default=points_of_accuracy(ALLOWED),
                columns=COLUMNS,
                data=data,
            )
            .encode()
        )
        return made

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
            "tables": [self._table(table, f"{part.folder}/") for table in part.tables],
            "figures": self._figures(part.figures, f"{part.folder}/"),
            "left_out": part.figures.left_out,
        }

    def _table(self, table: Table, place: str) -> dict[str, Any]:
        return {"table": table, "files": self._downloads(table.name, place)}

    def _figures(self, figures: Figures, place: str) -> list[dict[str, Any]]:
        found = []
        for stem, title in figures.titles.items():
            files = self._downloads(stem, place)
            forms = dict(files)
            link = forms.get("svg") or forms.get("png", "")
            found.append(
                {"title": title, "link": link, "source": self._picture(f"{place}{stem}.png", link), "files": files}
            )
        return found

    def _picture(self, path: str, link: str) -> str:
        """A picture in the page itself, while there is room, else the address of the file."""
        content = self.files.get(path)
        if content is None or 4 * len(content) / 3 > self.room:
            return link if content is None else quote(path)
        encoded = base64.b64encode(content).decode()
        self.room -= len(encoded)
        return f"data:image/png;base64,{encoded}"

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
        return up + quote(os.fsencode(os.path.relpath(run.folder.resolve(), self.out.resolve())))


def _axes(setting: Setting) -> list[tuple[str, str]]:
    """What accuracy can be looked at against, by name, with what the axis says."""
    names = (COMPRESSION, "speedup_theoretical", "speedup_structural", *measured_speedups(setting))
    return [*((name, heading(name)) for name in names), ("budget", "Training, × dense (epochs)")]


def _data(part: Part, page_of: Mapping[int, str]) -> dict[str, Any]:
    """What the charts of a setting are drawn from: columns, numbers with as many digits as can be seen."""
    setting, axes = part.setting, _axes(part.setting)
    dense = list(setting.dense.values())
    columns: dict[str, list[Any]] = {k: [] for k in ("method", "seed", "key", "top1", "val_top1", "collapsed", "run")}
    columns |= {name: [] for name, _ in axes}
    keys: dict[str, int] = {}
    runs: dict[str, int] = {}
    pages = {id(point): page_of[id(run)] for run, _ in setting.runs for point in run.points}
    for number, method in enumerate(setting.methods.values()):
        for (target, round_), by_seed in method.points.items():
            for seed, point in by_seed.items():
                budget = setting.dense[seed].epochs_total if seed in setting.dense else 0
                row = {
                    "method": number,
                    "seed": seed,
                    "key": keys.setdefault(_key(target, round_), len(keys)),
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


def _key(target: str, round_: int) -> str:
    return f"round {round_}" if target == "null" else f"target {target}, round {round_}"


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
