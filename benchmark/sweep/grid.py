"""The runs of a W&B sweep file, without a server: the same names, values and order as its grid."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr, ValidationError, model_validator

from benchmark.config import Options, RunConfig, canonical, read_yaml, run_config
from benchmark.errors import UserError, unknown
from benchmark.fields import shown

SHIPPED = Path(__file__).parents[2] / "sweeps"  # beside this package, in a checkout and where it is installed
MOST = 10_000  # runs of a sweep

Number = StrictInt | StrictFloat
Scalar = Number | bool | StrictStr | None
Value = Scalar | list[Scalar] | dict[StrictStr, Any]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True, strict=True)


class Spec(_Strict):
    """What a sweep file says of one parameter: a value, several, a range, or parameters of its own."""

    value: Value = None
    values: Annotated[list[Value], Field(min_length=1)] | None = None
    probabilities: list[Annotated[Number, Field(ge=0)]] | None = None
    min: Number | None = None
    max: Number | None = None
    distribution: Literal["constant", "categorical", "int_uniform", "uniform", "log_uniform_values"] | None = None
    parameters: dict[StrictStr, Spec] | None = None

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Spec:
        said = self.model_fields_set
        ways = said & {"value", "values", "parameters"} | ({"range"} if said & {"min", "max"} else set())
        if len(ways) != 1:
            raise ValueError("needs one of value, values, parameters, or min and max")
        if "range" in ways:
            if self.min is None or self.max is None or self.min > self.max:
                raise ValueError(f"needs min and max, min at most max, got {self.min} and {self.max}")
            if self.distribution == "log_uniform_values" and self.min <= 0:
                raise ValueError(f"needs a min above 0 for log_uniform_values, got {self.min}")
            if self.distribution in ("constant", "categorical"):
                raise ValueError(f"has a range, which is no {self.distribution} distribution")
            if self.distribution == "int_uniform" and not self.whole:
                raise ValueError("needs whole numbers as min and max for int_uniform")
        if self.probabilities is not None and (
            self.values is None or len(self.probabilities) != len(self.values) or sum(self.probabilities) <= 0
        ):
            raise ValueError("needs a probability for each of its values, not all 0")
        if said & {"value", "values"} and self.distribution not in (None, "constant", "categorical"):
            raise ValueError(f"has no range for {self.distribution}")
        return self

    @property
    def whole(self) -> bool:
        return isinstance(self.min, int) and isinstance(self.max, int)


class SweepFile(BaseModel):
    """A sweep file; what else it says is for the W&B service."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    method: Literal["grid", "random"]
    parameters: Annotated[dict[StrictStr, Spec], Field(min_length=1)]
    run_cap: Annotated[int, Field(ge=1)] | None = None


def shipped_sweeps() -> dict[str, Path]:
    """The sweep files of this suite by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def sweep_runs(source: str | Path, overrides: Options, count: int | None = None, seed: int = 0) -> list[RunConfig]:
    """The runs of a sweep file, each once, in the order of W&B's grid; `overrides` hold for all.

    A random sweep draws `count` (else the file's `run_cap`) from `seed`.

    Raises UserError, naming the file, for what is not a sweep or gives an impossible run.
    """
    path = _path(str(source))
    sweep = _read(path)
    wanted = count or sweep.run_cap
    if sweep.method == "random":
        if not wanted:
            raise UserError(
                f"{path}: a random sweep has no end; say how many runs with --count N or run_cap in the file"
            )
        total = wanted
        points = (draw(sweep.parameters, random.Random(f"{seed}:{i}")) for i in range(wanted))
    else:
        try:
            total, points = size(sweep.parameters), grid(sweep.parameters)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    if total > MOST:
        raise UserError(
            f"{path} has {_count(total)} runs, more than {MOST:,}; take fewer values, or --count N of a random sweep"
        )
    runs: dict[str, RunConfig] = {}
    for point in points:
        try:
            run = run_config({**canonical(point), **overrides})
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        runs.setdefault(run.id, run)
    return list(runs.values())


def grid(parameters: Mapping[str, Spec]) -> Iterator[dict[str, Any]]:
    """All points of a grid: names sorted at each level, the last one varies fastest."""
    names = sorted(parameters)
    choices = [list(_choices(parameters[name])) for name in names]
    for values in itertools.product(*choices):
        yield dict(zip(names, values, strict=True))


def size(parameters: Mapping[str, Spec], above: str = "") -> int:
    """How many points the grid has; raises UserError for a parameter without an end."""
    total = 1
    for name, spec in parameters.items():
        if spec.parameters is not None:
            total *= size(spec.parameters, f"{above}{name}.")
        elif spec.values is not None:
            total *= len(spec.values)
        elif spec.min is not None and spec.max is not None:
            if not spec.whole:
                raise UserError(f"parameter {above}{name}: a grid needs value, values, or whole-number min and max")
            total *= int(spec.max) - int(spec.min) + 1
    return total


def draw(parameters: Mapping[str, Spec], generator: random.Random) -> dict[str, Any]:
    """One point of a random sweep."""
    return {name: _draw(spec, generator) for name, spec in sorted(parameters.items())}


def _path(source: str) -> Path:
    """The file, or the shipped sweep of that name."""
    known = shipped_sweeps()
    if source in known and not Path(source).is_file():
        return known[source]
    if not source.endswith((".yaml", ".yml")) and "/" not in source and not Path(source).exists():
        raise unknown("sweep", shown(source), known, "or the path of a W&B sweep file")
    return Path(source)


def _read(path: Path) -> SweepFile:
    content = read_yaml(path)
    if not isinstance(content, dict) or "parameters" not in content or "method" not in content:
        raise UserError(f"{path} is no sweep file: it needs `method` and `parameters`")
    try:
        return SweepFile.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: {_said(error)}") from error
    except RecursionError as error:
        raise UserError(f"{path} is nested deeper than any option") from error


def _said(error: ValidationError) -> str:
    """The first thing that is wrong: which key, what is allowed, what was found."""
    first = error.errors(include_url=False)[0]
    where = [str(part) for part in first["loc"]]
    keys, found = ".".join(k for k in where if not k.startswith(("function-", "list[", "dict["))), shown(first["input"])
    keys = shown(keys)
    if where[:1] == ["method"]:
        return f"method must be grid or random, got {found}; bayes needs the W&B service: wandb sweep"
    if first["type"] == "model_type":
        return f"{keys}: write `value: {found}` or `values: [...]` below it"
    if first["type"] == "extra_forbidden":
        return f"{keys} is nothing that a sweep says of a parameter: value, values, min, max, distribution, parameters"
    if where[-1:] == ["[key]"]:
        return f"{keys.removesuffix('.[key]')} is no name of an option; names are texts"
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    if first["type"] == "value_error":
        return f"{keys} {message}"
    if ".values" in keys or ".value" in keys:
        keys = keys[: keys.rindex(".value")] + (".values" if ".values" in keys else ".value")
        message = message if keys.endswith("values") and first["loc"][-1] == "values" else "must hold numbers and texts"
    return f"{keys} {message}, got {found}"


def _count(total: int) -> str:
    return f"{total:,}" if total < 10**15 else f"about 10^{int(math.log10(total))}"


def _choices(spec: Spec) -> Iterator[Any]:
    if spec.parameters is not None:
        yield from grid(spec.parameters)
    elif spec.values is not None:
        yield from spec.values
    elif isinstance(spec.min, int) and isinstance(spec.max, int):
        yield from range(spec.min, spec.max + 1)
    else:
        yield spec.value


def _draw(spec: Spec, generator: random.Random) -> Any:
    if spec.parameters is not None:
        return draw(spec.parameters, generator)
    if spec.values is not None:
        return generator.choices(spec.values, spec.probabilities)[0]
    if spec.min is None or spec.max is None:
        return spec.value
    distribution = spec.distribution or ("int_uniform" if spec.whole else "uniform")
    if distribution == "int_uniform":
        return generator.randint(int(spec.min), int(spec.max))
    if distribution == "uniform":
        return generator.uniform(spec.min, spec.max)
    return math.exp(generator.uniform(math.log(spec.min), math.log(spec.max)))
