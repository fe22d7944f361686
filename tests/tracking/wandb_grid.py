"""The points of a W&B grid sweep, in the order in which the service hands them out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any


def grid(parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points of a grid sweep: product in sorted order of names, the last varies fastest, equal ones once."""
    names = sorted(parameters)
    points = [
        dict(zip(names, values, strict=True)) for values in itertools.product(*(_values(parameters[n]) for n in names))
    ]
    return [point for i, point in enumerate(points) if point not in points[:i]]


def _values(spec: Mapping[str, Any]) -> list[Any]:
    if "parameters" in spec:
        return grid(spec["parameters"])
    if "values" in spec:
        return [_number(value) for value in spec["values"]]
    return [_number(spec["value"])] if "value" in spec else list(range(spec["min"], spec["max"] + 1))


def _number(value: Any) -> Any:
    """What the service makes of a value: `1e-3`, text to PyYAML, is a number and a whole float an int."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        value = float(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value
