"""What a command is: a dataclass of its options, whose docstring says what it does, and a function that takes it."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

from benchmark.config import Settings, part_options, read_command
from benchmark.errors import UserError
from benchmark.fields import MISSING, Option, allowed, construct, options_of, read_all, require_known, shown

WIDTH = 116  # of help
COLUMN = 32  # where help explains an option
RECIPE = Option(
    "recipe", str | None, None, "options beneath those given: `prunebench list recipes`, a YAML file, config.json"
)


@dataclass(frozen=True)
class Command:
    """A command. `words` names the options that are written without `--`, in order.

    Only the last may be left out, and where it is a list it takes all words that are left.

    `runs` are options of runs, which the command takes too and finds in its field `runs`.
    """

    name: str
    cls: type
    act: Callable[[Any], int]
    words: tuple[str, ...] = ()
    runs: bool = False

    @property
    def summary(self) -> str:
        return (self.cls.__doc__ or "").partition("\n")[0].rstrip(".")

    @property
    def options(self) -> dict[str, Option]:
        return {name: option for name, option in options_of(self.cls).items() if name != "runs"}

    def read(self, arguments: Sequence[str]) -> Any:
        """The command's options from the words behind its name.

        Raises UserError, in one line.
        """
        own = self.options
        known = {**(options_of(Settings) if self.runs else {}), **own}
        words, given = read_command(arguments, known)
        for name in (n for n in self.words if n not in given):
            if words:
                given[name], words = (words, []) if own[name].several else (words[0], words[1:])
        if over := words:
            for switch, word in pairwise(arguments):
                name = switch.removeprefix("--").replace("-", "_")
                if word == over[0] and switch.startswith("--") and name in known and known[name].flag:
                    raise UserError(f"{switch} takes true or false, got '{shown(word)}'")
            raise UserError(f"'{shown(over[0])}' is too much: {self._usage()}")
        if missing := [name for name in self.words if name not in given and own[name].default is MISSING]:
            raise UserError(f"{missing[0].upper()} is missing: {self._usage()}")
        runs = {name: value for name, value in given.items() if name not in own}
        if not self.runs:
            require_known(runs, own, {})
        for name in runs.keys() - options_of(Settings).keys():
            if near := get_close_matches(name, own, n=1, cutoff=0.7):  # of the command's own, and no option of a run
                raise UserError(f"unknown option '{shown(name)}', did you mean '{near[0]}'?")
        values = read_all(own, {n: v for n, v in given.items() if n in own}, self.name)
        return construct(self.cls, {**values, **({"runs": runs} if self.runs else {})})

    def help(self, arguments: Sequence[str]) -> str:
        """The text of `--help`; of the method, network and dataset that are named it has the own options."""
        parts = [self._usage(), "", inspect.cleandoc(self.cls.__doc__ or "")]
        if own := self.options:
            parts += ["", "options:", *described(own.values())]
        if self.runs:
            _, given = read_command(arguments, {**options_of(Settings), **own})
            parts += ["", "options of a run:", *described([RECIPE, *options_of(Settings).values()])]
            if more := part_options(given):
                parts += ["", "own options of what is named:", *described(more.values())]
            else:
                parts += ["", f"A method's own options: prunebench {self.name} --pruner NAME --help"]
        return "\n".join(parts)

    def _usage(self) -> str:
        own = self.options
        called = {n: f"{n.upper()} ..." if own[n].several else n.upper() for n in self.words}
        words = [text if own[n].default is MISSING else f"[{text}]" for n, text in called.items()]
        return " ".join(["usage: prunebench", self.name, *words, "[--option VALUE ...]"])


def described(options: Iterable[Option]) -> list[str]:
    """A line or more for each option: name, what it takes, the comment behind it, its default."""
    lines: list[str] = []
    for option in options:
        default = "" if option.default in (MISSING, None, ()) else f" (default: {_written(option.default)})"
        text = (
            f"{allowed(option.kind)}; {option.about}{default}" if option.about else f"{allowed(option.kind)}{default}"
        )
        head = f"  --{option.name}"
        first, *rest = textwrap.wrap(text, WIDTH - COLUMN) or [""]
        if len(head) >= COLUMN:
            lines.append(head)
            head = ""
        lines += [f"{head:{COLUMN}s}{first}", *(" " * COLUMN + line for line in rest)]
    return lines


def _written(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
