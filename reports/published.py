"""Published results of the same task beside one's own, marked and never mixed with them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from reports.curves import Setting
from reports.statistics import estimate
from reports.table import NOTHING, Table, spread
from reports.tables import top1_at

MARK = "◇"
NOTE = (
    f"{MARK}: published by others, with their training and their counting, which differ from the protocol here; in no "
    "average, ranking or figure. Compared at the share of weights kept, the column `here` is interpolated between "
    "one's own points"
)


def published(setting: Setting) -> Table | None:
    """What others report of this dataset, network and optimiser; None where nothing is known."""
    run = setting.runs[0][0]
    found = _known()
    numbers, shown = [], []
    for task in found["tasks"]:
        same = all(run.config[name] == task[name] for name in ("dataset", "model"))
        if not same or task["optimizer"] not in (None, run.config["train.optimizer"]):
            continue
        for name, kept, top1, *std in task["rows"]:
            about = {key: task[key] for key in ("source", "read", "counted", "differs")}
            row = {"method": name, "weights_kept": kept / 100, "top1": top1 / 100, "top1_std": (*std, None)[0]}
            row["top1_std"] = None if row["top1_std"] is None else row["top1_std"] / 100
            numbers.append(row | about)
            deviation = f" ± {std[0]:g}" if std else ""
            said = "; ".join(filter(None, [task["counted"], task["differs"], f"read {task['read']}"]))
            shown.append(
                {
                    "method": f"{name} {MARK}",
                    "weights kept": f"{kept:g} %",
                    f"top-1 (%) {MARK}": f"{top1:g}{deviation}",
                    "here": _here(setting, found["here"].get(name), kept),
                    "source": task["source"],
                    "counted, and what differs": said,
                }
            )
    if not shown:
        return None
    title = f"Published results {MARK} for {run.config['model']} on {run.config['dataset']}"
    return Table("published", title, NOTE, pd.DataFrame(numbers), pd.DataFrame(shown))


@cache
def _known() -> dict[str, Any]:
    import yaml

    return yaml.safe_load((Path(__file__).parent / "published.yaml").read_text())


def _here(setting: Setting, name: str | None, kept: float) -> str:
    """What methods of this name reach here at the same share of weights, by label where there are several."""
    said = []
    for method in setting.methods.values():
        if method.name == name and kept < 100:
            [(_, reached)] = top1_at(setting, method, "compression_weights", [100 / kept]).items()
            found = estimate(list(reached.values()), 0, 1)
            if found.n:
                said.append((method.label, spread(found, "{:z.2f}", 100)))
    return "; ".join(text if len(said) == 1 else f"{label}: {text}" for label, text in said) or NOTHING
