"""The method author's guide is carried out as it stands, from the formula to the figure."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from benchmark.cli.entry import main

ROOT = Path(__file__).parents[1]


def _blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language; those without one are commands."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [body for name, body in found if name == language]


def test_the_guide_to_a_new_method_leads_to_a_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "new_method.md").read_text()
    (method,), (sweep,) = _blocks(text, "python"), _blocks(text, "yaml")
    (tmp_path / "output_error.py").write_text(method)
    (tmp_path / "mine.yaml").write_text(sweep)
    commands = [line for block in _blocks(text, "") for line in block.splitlines()]
    assert len(commands) == 4
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "prunebench"
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert not caught.value.code, (command, capsys.readouterr())
    page = tmp_path / "results" / "mine" / "report" / "index.html"
    assert "OutputError" in page.read_text()
    assert list(page.parent.rglob("accuracy_compression_params.png"))
