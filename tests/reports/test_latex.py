"""Every table of a report is one that pdflatex reads, whatever its methods are called."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from reports import build
from reports.table import Table
from tests.reports.made_up import point_row, write_results, write_run

PDFLATEX = shutil.which("pdflatex")
NAMES = ('[x] & % $ # _ { } ~ ^ \\ | < > "', "*", "é Ø ß ½ − … “ ” α ≠ ð 日本 \U0001f600", "--- '' `` -{}")


def test_columns_of_texts_begin_at_their_left() -> None:
    frame = pd.DataFrame({"compression": [8], "method": ["snip"], "≤ 1×": [0.5]})
    assert r"\begin{tabular}{llr}" in Table("name", "title", "note", frame, frame).latex


@pytest.mark.skipif(PDFLATEX is None, reason="there is no pdflatex here")
def test_pdflatex_reads_every_table(tmp_path: Path) -> None:
    results = tmp_path / "results"
    write_results(results)
    for number, name in enumerate(NAMES):
        write_run(results, f"odd-{number}", [point_row(0, 1, 0.9), point_row(1, 4, 0.8)], pruner=name)
    folder = build(results).folder
    tables = sorted(folder.rglob("*.tex"))
    assert len(tables) > 5
    read = [rf"\input{{{table.relative_to(folder).as_posix()}}}\clearpage" for table in tables]
    pages = [r"\documentclass{article}", r"\usepackage{booktabs}", r"\begin{document}", *read, r"\end{document}"]
    (folder / "all.tex").write_text("\n".join(pages))
    command = [str(PDFLATEX), "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "all.pdf").stat().st_size > 10_000
