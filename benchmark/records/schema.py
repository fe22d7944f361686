"""The names of a record."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]
FILES = ("config.json", "environment.json", "epochs.jsonl", "points.jsonl")
