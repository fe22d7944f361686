"""What a report reads of a record, checked once: all that comes after may rely on types, ranges and printable text.

The names are those of `benchmark.records.schema`, to which a test holds these classes.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass

from reports.files import Damaged

LONGEST = 200  # characters of a text that are shown
LARGEST = 10.0**15  # of a ratio or a length, far beyond every network's
SPARSITY = "pruner.sparsity"
MEASURED = "speedup_measured"  # how the names of measured speed-ups begin, one for each engine


def printable(text: str) -> str:
    """The text with what cannot be shown escaped, as `\\x00`, and a long one cut, with a digest that tells it apart."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 10]}… {hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return text


def _option(value: Any) -> Any:
    """The value of an option: a number, a truth value, None, or a text; lists and the like as JSON text."""
    if value is None or isinstance(value, int | float):
        return value if abs(value or 0) <= LARGEST else printable(str(value))
    return printable(value if isinstance(value, str) else json.dumps(value))


def _options(value: Any) -> Any:
    return {printable(k): _option(v) for k, v in value.items()} if isinstance(value, dict) else value


Text = Annotated[str, BeforeValidator(lambda value: printable(value) if isinstance(value, str) else value)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Ratio = Annotated[float, Field(strict=True, gt=0, le=LARGEST)]
Amount = Annotated[float, Field(strict=True, ge=0, le=10.0**30)]
Loss = Annotated[float, Field(strict=True, ge=-LARGEST, le=10.0**30)]
Count = Annotated[int, Field(strict=True, ge=0, le=2**63 - 1)]
Number = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
Truth = Annotated[bool, Field(strict=True)]
Belongs = Literal["run", "dense", "seed", "place"]

_ROW = ConfigDict(extra="ignore", allow_inf_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True, config=_ROW)
class Layer:
    """How many weights of a layer are kept."""

    name: Text
    kept: Count
    total: Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]

    def __post_init__(self) -> None:
        if self.kept > self.total:
            raise ValueError("more is kept than there is")

    @property
    def density(self) -> float:
        return self.kept / self.total


@dataclass(frozen=True, slots=True, kw_only=True, config=_ROW)
class LayerFiring:
    """How the units of a layer fire."""

    name: Text
    units: Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]
    active_share: Share
    dead_units: Count
    class_overlap: Annotated[float, Field(strict=True, ge=0, le=1.0001)]  # a mean in float32

    @property
    def dead_share(self) -> float:
        return self.dead_units / self.units


@dataclass(frozen=True, slots=True, kw_only=True, config=_ROW)
class Point:
    """A measured point: a row of points.jsonl. A ratio to nothing is None, and so is what a record does not have."""

    round: Number
    stage: Literal["pruned", "trained"]
    top1: Share
    val_top1: Share
    sparsity_prunable: Share
    compression_params: Ratio | None
    compression_weights: Ratio | None
    speedup_theoretical: Ratio | None
    speedup_structural: Ratio | None
    epochs_total: Annotated[float, Field(strict=True, ge=0, le=LARGEST)]
    collapsed: Truth
    layers: Annotated[list[Layer], Field(max_length=10_000)]
    firing: Annotated[list[LayerFiring], Field(max_length=10_000)] = Field(default_factory=list)
    target_sparsity: Share | None = None
    loss: Loss | None = None
    val_loss: Loss | None = None
    top5: Share | None = None
    val_top5: Share | None = None
    correct: Count | None = None
    total: Count | None = None
    params_total: Count | None = None
    params_kept: Count | None = None
    flops_dense: Amount | None = None
    flops_effective: Amount | None = None
    flops_structural: Amount | None = None
    bytes_dense: Count | None = None
    bytes_sparse: Count | None = None
    step: Count | None = None
    train_flops: Amount | None = None
    latency_dense: Amount | None = None
    latency_structural: Amount | None = None
    latency_sparse: Amount | None = None
    latency_batch: Count | None = None
    latency_threads: Count | None = None
    train_seconds: Amount | None = None
    prune_seconds: Amount | None = None
    prune_flops: Amount | None = None
    weights_sha256: Text = ""
    masks_sha256: Text = ""
    point: Number | None = None
    measured: dict[str, Ratio | None] | None = None  # the speed-ups that were measured, by name

    @model_validator(mode="before")
    @classmethod
    def _with_measured(cls, row: Any) -> Any:
        if not isinstance(row, dict) or MEASURED not in " ".join(map(str, row)):
            return row
        return {**row, "measured": {k: v for k, v in row.items() if k.startswith(MEASURED)}}

    def value(self, name: str) -> Any:
        """The number of this name; None where the record does not have it."""
        return (self.measured or {}).get(name) if name.startswith(MEASURED) else getattr(self, name)


@dataclass(frozen=True, slots=True, kw_only=True, config=_ROW)
class Epoch:
    """A row of epochs.jsonl; None is what a record does not have."""

    epoch: Number
    round: Number
    val_top1: Share
    schedule: Text = ""
    step: Count | None = None
    lr: Amount | None = None
    train_loss: Loss | None = None
    val_top5: Share | None = None
    val_loss: Loss | None = None
    test_top1: Share | None = None
    test_top5: Share | None = None
    test_loss: Loss | None = None
    sparsity_prunable: Share | None = None
    seconds: Amount | None = None
    images_per_second: Amount | None = None


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class Method(_Part):
    """The method as the run calls it."""

    label: Text = ""  # its name, with the version of a file or package that is not this suite's
    knob: Annotated[Text, Field(pattern=r"^pruner\.")] = SPARSITY  # the option that says how much goes


class Head(_Part):
    """config.json: what was run."""

    id: Text = ""
    protocol: Text = "?"  # "paper" picks on the test set
    protocol_number: Number | None = None
    method: Method = Method()
    config: Annotated[dict[str, Any], BeforeValidator(_options)]
    differs: list[Text] | None = None  # options that are not at their default
    belongs: dict[Belongs, list[Text]] = {}  # what options belong to: the run alone, the dense training too, the place

    @model_validator(mode="after")
    def _says_what_was_run(self) -> Head:
        for name in ("dataset", "model", "train.optimizer", "pruner"):
            if not isinstance(self.config.get(name), str):
                raise ValueError(f"the configuration has no {name}")
        seed = self.config.get("seed")
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise ValueError("the configuration has no seed")
        if not self.belongs:
            raise ValueError("the configuration does not say what its options belong to")
        return self

    def options(self, kind: Belongs) -> dict[str, Any]:
        """The options that belong to the run alone, to the dense training, or to the place."""
        return {name: self.config[name] for name in self.belongs.get(kind, []) if name in self.config}


class Hardware(_Part):
    device: Text = "?"
    machine: Text = ""
    system: Text = ""
    cpus: Count | None = None
    threads: Count | None = None


class Environment(_Part):
    """environment.json: where it was run, on which data."""

    commit: Text | None = None
    versions: dict[Text, Text | None] = {}
    hardware: Hardware = Hardware()
    data_verified: bool | None = None
    classes: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class Status(_Part):
    """status.json: how it ended."""

    state: Text = "not begun"
    reason: Text = ""
    started: Text = ""
    finished: Text = ""
    rows: dict[str, tuple[Count, Text]] = {}  # by file: how many rows it has, and the chain of the last

    @field_validator("rows", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        return (
            {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()} if isinstance(value, dict) else value
        )


Row = TypeVar("Row")


def checked(kind: type[Row], value: Any) -> Row:
    """The value as a `kind`. Raises Damaged with the first thing that is wrong."""
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Damaged(printable(f"{where}: {first['msg']}" if where else first["msg"])) from error


@cache
def _adapter(kind: type[Row]) -> TypeAdapter[Row]:
    return TypeAdapter(kind)
