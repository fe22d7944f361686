"""The runs of a W&B sweep file, without a server: the same names, values and order as its grid."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmark.config import Options, RunConfig, canonical, read_yaml, run_config
from benchmark.errors import UserError, unknown

Parameters = Mapping[str, Any]
METHODS = ("grid", "random")


def sweep_runs(path: Path, overrides: Options, count: int | None = None, seed: int = 0) -> list[RunConfig]:
    """The runs of a sweep file, each once, in the order of W&B's grid; `overrides` hold for all.

    A random sweep draws `count` (else the file's `run_cap`) from `seed`.

    Raises UserError, naming the file, for what is not a sweep or gives an impossible run.
    """
    sweep = read_yaml(path)
    if not isinstance(sweep, dict) or not isinstance(sweep.get("parameters"), dict):
        raise UserError(f"{path} is no sweep file: it needs `method` and `parameters`")
    method = sweep.get("method")
    if method not in METHODS:
        raise UserError(
            f"{path}: method must be grid or random, got {method}; bayes needs the W&B service: wandb sweep {path}"
        )
    parameters = sweep["parameters"]
    if method == "grid":
        points = grid(parameters)
    else:
        count = count or sweep.get("run_cap")
        if not count:
            raise UserError(
                f"{path}: a random sweep has no end; say how many runs with --count N or run_cap in the file"
            )
        points = (draw(parameters, random.Random(f"{seed}:{i}")) for i in range(count))
    runs: dict[str, RunConfig] = {}
    for point in points:
        try:
            run = run_config({**canonical(point), **overrides})
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        runs.setdefault(run.id, run)
    return list(runs.values())


def grid(parameters: Parameters) -> Iterator[dict[str, Any]]:
    """All points of a grid: names sorted at each level, the last one varies fastest."""
    names = sorted(parameters)
    choices = [list(_choices(name, parameters[name])) for name in names]
    for values in itertools.product(*choices):
        yield dict(zip(names, values, strict=True))


def draw(parameters: Parameters, generator: random.Random) -> dict[str, Any]:
    """One point of a random sweep."""
    return {name: _draw(name, spec, generator) for name, spec in sorted(parameters.items())}


def _choices(name: str, spec: Any) -> Iterator[Any]:
    spec = _checked(name, spec)
    if "parameters" in spec:
        yield from grid(spec["parameters"])
    elif "values" in spec:
        yield from spec["values"]
    elif "value" in spec:
        yield spec["value"]
    elif isinstance(spec.get("min"), int) and isinstance(spec.get("max"), int):
        yield from range(spec["min"], spec["max"] + 1)
    else:
        raise UserError(f"parameter {name}: a grid needs value, values, or whole-number min and max")


def _draw(name: str, spec: Any, generator: random.Random) -> Any:
    spec = _checked(name, spec)
    if "parameters" in spec:
        return draw(spec["parameters"], generator)
    if "values" in spec:
        return generator.choices(spec["values"], spec.get("probabilities"))[0]
    if "value" in spec:
        return spec["value"]
    low, high = spec.get("min"), spec.get("max")
    if low is None or high is None:
        raise UserError(f"parameter {name}: needs value, values, or min and max")
    whole = isinstance(low, int) and isinstance(high, int)
    distribution = spec.get("distribution", "int_uniform" if whole else "uniform")
    if distribution == "int_uniform":
        return generator.randint(low, high)
    if distribution == "uniform":
        return generator.uniform(low, high)
    if distribution == "log_uniform_values":
        return math.exp(generator.uniform(math.log(low), math.log(high)))
    raise unknown(f"distribution of {name}", distribution, ["int_uniform", "uniform", "log_uniform_values"])


def _checked(name: str, spec: Any) -> dict[str, Any]:
    if not isinstance(spec, dict):
        raise UserError(f"parameter {name}: write `value: {spec}` or `values: [...]` below it")
    return spec
