"""The fields of a dataclass and the parameters of a function as options: typed, with a default and a comment.

pydantic checks the values; what an option belongs to stands in its type: `Dense[int]`, `Place[Path]`.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from benchmark.comments import comments
from benchmark.errors import UserError, unknown

T = TypeVar("T")
Belongs = Literal["run", "dense", "seed", "place"]


@dataclass(frozen=True)
class _Belonging:
    to: Belongs


# What an option belongs to: the identity of a run alone where nothing is said;
Dense = Annotated[T, _Belonging("dense")]  # that of the shared dense training too;
Seed = Annotated[T, _Belonging("seed")]  # to that of one run, but not to its method, whose runs it tells apart
Place = Annotated[T, _Belonging("place")]  # to none, only to where a run is carried out and how it is shown

MISSING = dataclasses.MISSING
LONGEST = 10_000  # characters of a text that are read as a Python literal
SHOWN = 80  # characters of a wrong value that an error shows

_KINDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text", Path: "a path"}
_CONFIG = ConfigDict(allow_inf_nan=False, arbitrary_types_allowed=True)


@dataclass(frozen=True)
class Option:
    """One option by its dotted name."""

    name: str
    kind: Any  # its type
    default: Any  # MISSING where it has to be given
    about: str  # the comment behind it
    belongs: Belongs = "run"

    def read(self, value: Any) -> Any:
        """The value, given as a text or typed, as this option's type has it.

        Raises UserError, saying what is allowed.
        """
        for reading in self._readings(value):
            for strict in (True, False):
                if strict or not _holds_truth(reading):  # True is no 1
                    try:
                        return self.checked(reading, strict=strict)
                    except ValidationError:
                        continue
        raise self.refusal(value)

    def checked(self, value: Any, *, strict: bool) -> Any:
        """The value, if its type allows it; raises ValidationError else."""
        return _adapter(self.kind).validate_python(value, strict=strict)

    def refusal(self, value: Any) -> UserError:
        """The error for a value that is not allowed."""
        choices = [c for c in _choices(self.kind) if isinstance(c, str)]
        near = get_close_matches(value, choices, n=1) if isinstance(value, str) else []
        guess = f"; did you mean '{near[0]}'?" if near else "; written without a value it is True" * (value == "True")
        return UserError(f"{self.name} must be {allowed(self.kind)}, got {shown(value)}{guess}")

    @property
    def several(self) -> bool:
        """Whether it takes a list of values."""
        return any(get_origin(part) in (tuple, list) for part in _parts(self.kind))

    @property
    def flag(self) -> bool:
        """Whether it can be written without a value."""
        return bool in _parts(self.kind)

    def _readings(self, value: Any) -> Iterator[Any]:
        literal = read_literal(value) if isinstance(value, str) else value
        for reading in (value,) if isinstance(literal, str) else (literal, value):
            yield (reading,) if self.several and not isinstance(reading, list | tuple | None) else reading


def options_of(cls: type, prefix: str = "", belongs: Belongs = "run") -> dict[str, Option]:
    """The options of a dataclass, those of dataclasses among its fields too, by dotted name.

    Raises UserError where the type of a field cannot be read.
    """
    return dict(_options_of(cls, prefix, belongs))


@cache
def _options_of(cls: type, prefix: str, belongs: Belongs) -> dict[str, Option]:
    found: dict[str, Option] = {}
    hints, behind = _hints(cls), comments(cls)
    for f in dataclasses.fields(cls):
        if f.init:
            kind, to = _belonging(hints[f.name], belongs)
            name = prefix + _written(f.name)
            if dataclasses.is_dataclass(kind):
                found |= _options_of(kind, f"{name}.", to)  # pyright: ignore[reportArgumentType]
            else:
                default = f.default_factory() if f.default_factory is not MISSING else f.default
                found[name] = Option(name, kind, default, behind.get(f.name, ""), to)
    return found


def parameters_of(function: Callable[..., Any], given: int, prefix: str, belongs: Belongs) -> dict[str, Option]:
    """The options of a function: its parameters without the first `given`, which are not the user's to choose."""
    hints, behind, found = _hints(function), comments(function), {}
    for p in list(inspect.signature(function).parameters.values())[given:]:
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            default = MISSING if p.default is p.empty else p.default
            about = behind.get(p.name, "")
            found[prefix + p.name] = Option(prefix + p.name, hints.get(p.name, Any), default, about, belongs)
    return found


def read_all(options: Mapping[str, Option], given: Mapping[str, Any], whose: str) -> dict[str, Any]:
    """The value of each option by its name: the given one, read, or the default.

    Raises UserError for an option that has to be given and is not.
    """
    values: dict[str, Any] = {}
    for name, option in options.items():
        if name in given:
            values[name] = option.read(given[name])
        elif option.default is MISSING:
            raise UserError(f"{whose} needs {name}, {option.about or allowed(option.kind)}")
        else:
            values[name] = option.default
    return values


def construct(cls: type[T], values: Mapping[str, Any], prefix: str = "") -> T:
    """The dataclass with these values, by dotted name, those of its groups too."""
    hints, arguments = _hints(cls), {}
    for f in dataclasses.fields(cls):  # pyright: ignore[reportArgumentType]
        kind, name = _belonging(hints[f.name], "run")[0], prefix + _written(f.name)
        if dataclasses.is_dataclass(kind):
            arguments[f.name] = construct(kind, values, f"{name}.")  # pyright: ignore[reportArgumentType]
        elif name in values:
            arguments[f.name] = values[name]
    return cls(**arguments)


def check(instance: Any, prefix: str = "") -> None:
    """Hold each field of a dataclass to its type, for its `__post_init__`; a whole number becomes a float where one is.

    Raises UserError, naming the field behind `prefix`.
    """
    for name, option in _own_options(type(instance)).items():
        value = getattr(instance, name)
        try:
            found = option.checked(value, strict=True)
        except ValidationError:
            raise dataclasses.replace(option, name=prefix + name).refusal(value) from None
        if found is not value:
            object.__setattr__(instance, name, found)


def require_known(given: Mapping[str, Any], known: Mapping[str, Option], groups: Mapping[str, str]) -> None:
    """Raises UserError for a name that is no option; `groups` says whose options start with a prefix."""
    for name in given:
        if name in known:
            continue
        prefix = f"{name.partition('.')[0]}."
        near = [k for k in known if k.startswith(prefix)]
        if f"{name}." == prefix and near:
            raise UserError(f"{name} is a group of options, each with a value: {', '.join(near)}")
        if prefix in groups and not near:
            raise UserError(f"{groups[prefix]} has no options of its own, got {shown(name)}; leave it out")
        whose = f"option of {groups[prefix]}" if prefix in groups else "option"
        raise unknown(whose, shown(name), near if prefix in groups else known)


def read_literal(text: str) -> Any:
    """The Python value that a text spells; the text itself where it spells none."""
    if len(text) > LONGEST:
        return text
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def allowed(kind: Any) -> str:
    """What a type allows, in words."""
    parts = _parts(kind)
    if len(parts) > 1 and all(part is type(None) or get_origin(part) is Literal for part in parts):
        return allowed(Literal[(*_choices(kind), *["None"] * (type(None) in parts))])
    if len(parts) > 1:
        words = [allowed(part) for part in parts if part is not type(None)]
        return " or ".join([*words, "None"] if len(words) < len(parts) else words)
    if get_origin(kind) is Annotated:
        base, *more = get_args(kind)
        return ", ".join([allowed(base), *_bounds(more)])
    if get_origin(kind) is Literal:
        *first, last = map(str, get_args(kind))
        return f"{', '.join(first)} or {last}" if first else last
    if get_origin(kind) in (tuple, list):
        return f"a list of {_plural(get_args(kind)[0])}"
    return _KINDS.get(kind, str(getattr(kind, "__name__", kind)))


def shown(value: Any) -> str:
    """A value as an error shows it: in one line, not too long."""
    try:
        text = value if isinstance(value, str) and value.isprintable() and value else repr(value)
    except RecursionError:
        text = f"a nested {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


@cache
def _own_options(cls: type) -> dict[str, Option]:
    """The fields of a dataclass, without those that are dataclasses, which check themselves."""
    return {name: option for name, option in options_of(cls).items() if "." not in name}


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(kind, config=_CONFIG)
    except PydanticUserError as error:
        raise UserError(f"an option cannot have the type {kind}; take numbers, texts, choices or lists") from error


def _written(field: str) -> str:
    """The name of a field's option: one that is a word of Python's, `with`, has a field with an underscore."""
    return field.removesuffix("_")


@cache
def _hints(source: Any) -> dict[str, Any]:
    try:
        return get_type_hints(source, include_extras=True)
    except Exception as error:
        raise UserError(
            f"the types of the options of {source.__name__} cannot be read: {type(error).__name__}: {error}; "
            "import what they name outside of TYPE_CHECKING"
        ) from error


def _belonging(kind: Any, otherwise: Belongs) -> tuple[Any, Belongs]:
    """A type without its mark, and what the mark says."""
    if get_origin(kind) is not Annotated:
        return kind, otherwise
    base, *more = get_args(kind)
    marks = [m for m in more if isinstance(m, _Belonging)]
    rest = tuple(m for m in more if not isinstance(m, _Belonging))
    return (Annotated[(base, *rest)] if rest else base), marks[0].to if marks else otherwise


def _parts(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _choices(kind: Any) -> list[Any]:
    return [choice for part in _parts(kind) if get_origin(part) is Literal for choice in get_args(part)]


def _bounds(constraints: list[Any]) -> list[str]:
    """Constraints in words: `at least 1`, `above 0`, `in [0, 1)`."""
    flat = [c for each in constraints for c in (each, *getattr(each, "metadata", ()))]
    low = next((("[", c.ge) if isinstance(c, Ge) else ("(", c.gt) for c in flat if isinstance(c, Ge | Gt)), None)
    high = next((("]", c.le) if isinstance(c, Le) else (")", c.lt) for c in flat if isinstance(c, Le | Lt)), None)
    if low and high:
        return [f"in {low[0]}{low[1]}, {high[1]}{high[0]}"]
    if low:
        return [f"at least {low[1]}" if low[0] == "[" else f"above {low[1]}"]
    return [f"at most {high[1]}" if high[0] == "]" else f"below {high[1]}"] if high else []


def _plural(kind: Any) -> str:
    words = {"a whole number": "whole numbers", "a number": "numbers", "a text": "texts", "a path": "paths"}
    first, comma, bounds = allowed(kind).partition(",")
    return f"{words.get(first, first)}{comma}{bounds}"


def _holds_truth(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, list | tuple) and any(map(_holds_truth, value)))
