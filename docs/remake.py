"""Remakes the tables and figures of README.md and docs/ from the reference results that come with the package.

python docs/remake.py                      writes all
python docs/remake.py pack RESULTS NAME    makes the reference results NAME of the finished runs in a results folder,
                                           made by a clean checkout
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd

from benchmark.errors import UserError
from reports import load
from reports.curves import Setting
from reports.figures import draw_all
from reports.reference import pack
from reports.styles import styles_of
from reports.tables import smallest_networks

ROOT = Path(__file__).parents[1]
TASKS = {  # the setting of each, and the page with its table
    "digits": ("digits · lenet_300_100 · adam", "README.md"),
    "mnist": ("mnist · lenet_300_100 · adam", "README.md"),
    "mnist_sgd": ("mnist · lenet_300_100 · sgd", "docs/mnist_sgd.md"),
}
BEGIN, END = "<!-- {task}: made by `make figures` -->\n", "<!-- until here -->\n"
SHOWN = ["compression (parameters)", "test drop, points", "training, × dense"]


def main(words: list[str]) -> None:
    """Do what the words of the command line ask for."""
    match words:
        case []:
            settings = {setting.name.rpartition(" · ")[0]: setting for setting in load("reference").settings}
            for task, (name, page) in TASKS.items():
                remake(task, settings[name], ROOT / page)
        case ["pack", results, name]:
            print(pack(Path(results), name))
        case _:
            sys.exit(__doc__)


def remake(task: str, setting: Setting, page: Path) -> None:
    """Write the figure of accuracy against compression, and the table in the page."""
    figures = draw_all(setting, styles_of(setting.methods.values()), "paper", {"accuracy_compression_params"})
    (ROOT / "docs" / f"accuracy_{task}.png").write_bytes(figures.files["accuracy_compression_params.png"]())
    page.write_text(with_table(page.read_text(), task, setting))


def with_table(text: str, task: str, setting: Setting) -> str:
    """The text with the table of smallest networks between the task's marks."""
    begin = BEGIN.format(task=task)
    return re.sub(f"(?<={begin}).*?(?={END})", lambda _: table(setting), text, flags=re.DOTALL)


def table(setting: Setting) -> str:
    """The smallest networks within one and within two points in Markdown, the smallest within one first."""
    made = smallest_networks(setting)
    within = dict(tuple(made.shown.set_index("method").groupby("d, points")))
    heads = {
        d: [f"smallest within {said}, ×", "its drop on test, points", "training, × dense"]
        for d, said in (("1", "1 point"), ("2", "2 points"))
    }
    parts = [within[d][SHOWN].set_axis(heads[d], axis=1) for d in heads]
    ratios = made.numbers[made.numbers["allowed_drop"] == 0.01].set_index("method")["compression_params_mean"]
    order = ratios.sort_values(ascending=False, kind="stable").index
    frame = pd.concat(parts, axis=1).loc[order].rename_axis("method").reset_index()
    return frame.to_markdown(index=False, disable_numparse=True) + "\n"


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
