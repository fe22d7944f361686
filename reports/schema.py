"""What a report reads of a record, checked once: all that comes after may rely on types, ranges and printable text."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from reports.files import Damaged

LONGEST = 200  # characters of a text that are shown
LARGEST = 10.0**15  # of a ratio or a length, far beyond every network's


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
Share = Annotated[float, Field(ge=0, le=1)]
Ratio = Annotated[float, Field(gt=0, le=LARGEST)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Number = Annotated[int, Field(ge=0, le=1_000_000)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class Layer(_Part):
    """How many weights of a layer are kept."""

    name: Text
    kept: Count
    total: Annotated[int, Field(ge=1, le=2**63 - 1)]

    @model_validator(mode="after")
    def _kept_of_total(self) -> Layer:
        if self.kept > self.total:
            raise ValueError("more is kept than there is")
        return self

    @property
    def density(self) -> float:
        return self.kept / self.total


class LayerFiring(_Part):
    """How the units of a layer fire."""

    name: Text
    units: Annotated[int, Field(ge=1, le=2**63 - 1)]
    active_share: Share
    dead_units: Count
    class_overlap: Annotated[float, Field(ge=0, le=1.0001)]  # a mean in float32

    @property
    def dead_share(self) -> float:
        return self.dead_units / self.units


class Point(_Part):
    """A measured point: a row of points.jsonl. A ratio to nothing is None."""

    round: Number
    stage: Literal["pruned", "trained"]
    top1: Share
    val_top1: Share
    sparsity_prunable: Share
    compression_params: Ratio | None
    compression_weights: Ratio | None
    speedup_theoretical: Ratio | None
    speedup_structural: Ratio | None
    epochs_total: Annotated[float, Field(ge=0, le=LARGEST)]
    collapsed: bool
    layers: Annotated[list[Layer], Field(max_length=10_000)]
    firing: Annotated[list[LayerFiring], Field(max_length=10_000)] = []
    weights_sha256: Text = ""


class Epoch(_Part):
    """A row of epochs.jsonl."""

    epoch: Number
    round: Number
    val_top1: Share


class Method(_Part):
    """The method as the run calls it."""

    label: Text = ""  # its name, with the version of a file or package that is not this suite's


class Head(_Part):
    """config.json: what was run."""

    id: Text = ""
    protocol: Text = "?"  # "paper" picks on the test set
    protocol_number: Number | None = None
    method: Method = Method()
    config: Annotated[dict[str, Any], BeforeValidator(_options)]

    @model_validator(mode="after")
    def _says_what_was_run(self) -> Head:
        for name in ("dataset", "model", "train.optimizer", "pruner"):
            if not isinstance(self.config.get(name), str):
                raise ValueError(f"the configuration has no {name}")
        seed = self.config.get("seed")
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise ValueError("the configuration has no seed")
        return self


class Hardware(_Part):
    device: Text = "?"


class Environment(_Part):
    """environment.json: where it was run, on which data."""

    commit: Text | None = None
    hardware: Hardware = Hardware()
    data_verified: bool | None = None
    classes: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class Status(_Part):
    """status.json: how it ended."""

    state: Text = "not begun"
    reason: Text = ""


Row = TypeVar("Row", bound=BaseModel)


def checked(kind: type[Row], value: Any) -> Row:
    """The value as a `kind`. Raises Damaged with the first thing that is wrong."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Damaged(printable(f"{where}: {first['msg']}" if where else first["msg"])) from error
