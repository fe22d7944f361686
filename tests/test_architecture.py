"""What a linter of layers does not see: rooms are entered by their doors."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(p for folder in ("benchmark", "baselines", "reports") for p in (ROOT / folder).rglob("*.py"))
ROOMS = {p.parent.name for p in (ROOT / "benchmark").glob("*/__init__.pyi")}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_file_imports_from_another_room_only_what_that_room_gives(path: Path) -> None:
    own = path.relative_to(ROOT).parts[1] if path.is_relative_to(ROOT / "benchmark") else ""
    imported = [n.module for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom) and n.module]
    inside = [m for m in imported if m.count(".") > 1 and m.startswith("benchmark.") and m.split(".")[1] != own]
    assert inside == []


def test_every_room_lists_what_it_gives() -> None:
    folders = {p.parent.name for p in (ROOT / "benchmark").glob("*/*.py")}
    assert folders == ROOMS
