"""From what the user writes, a command line, a sweep file or a recipe, to a checked `RunConfig`.

All three give the same thing, option names and values, and take the same way: names are made
canonical (dotted, underscores), a recipe lies beneath them, `fields` reads the values.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark.config.discovery import find_pruner
from benchmark.config.run import RunConfig
from benchmark.config.settings import Settings
from benchmark.config.yaml_files import recipe_options
from benchmark.data import Images, find_images
from benchmark.errors import UserError
from benchmark.fields import Option, allowed, construct, options_of, read_all, read_literal, require_known, shown
from benchmark.models import Network, find_network
from benchmark.user_code import Source

Options = dict[str, Any]
PARTS = ("dataset", "model", "pruner")  # what is named, with options of its own: --model.shortcut
DEPTH = 20  # levels of nested options, far more than there are


def read_arguments(arguments: Sequence[str], known: Mapping[str, Option] | None = None) -> Options:
    """Options from a command line: `--a.b=1`, `--a-b 1`, `--flag`; several words become a list."""
    words, options = read_command(arguments, known or options_of(Settings))
    if words:
        raise UserError(f"'{shown(words[0])}' is not an option; options are written --name value, see --help")
    return options


def read_command(arguments: Sequence[str], known: Mapping[str, Option]) -> tuple[list[str], Options]:
    """The words of a command line that belong to no option, and the options.

    One of `known` takes as many words as its type wants; any other all that follow it.

    Raises UserError where one of `known` that is no flag has no value.
    """
    words: list[str] = []
    options: Options = {}
    room, taken = 0.0, words
    for argument in arguments:
        if argument.startswith("--") and len(argument) > 2:
            written, equals, value = argument[2:].partition("=")
            name = written.replace("-", "_")
            option = known.get(name)
            options[name] = taken = [value] if equals else []
            room = 0 if equals and not (option and option.several) else 1 if option and not option.several else 1e9
            if option and option.flag:
                room = min(room, 0.5)  # takes only a word that is a truth value
        elif room >= 1 or (room == 0.5 and argument.lower() in ("true", "false")):
            taken.append(argument)
            room -= 1
        else:
            words.append(argument)
    for name, values in options.items():
        if not values and name in known and not known[name].flag:
            raise UserError(f"--{name} needs a value: {allowed(known[name].kind)}")
    return words, canonical({k: "True" if not v else v[0] if len(v) == 1 else v for k, v in options.items()})


def canonical(options: Mapping[Any, Any], prefix: str = "") -> Options:
    """The options with dotted names in underscores, nested ones flattened."""
    if prefix.count(".") > DEPTH:
        raise UserError(f"{shown(prefix)} is nested deeper than any option")
    flat: Options = {}
    for key, value in options.items():
        name = prefix + str(key).replace("-", "_")
        if isinstance(value, str) and value[:1] == "{":  # as W&B's agent writes a group
            value = read_literal(value)
        flat |= canonical(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return flat


def run_config(options: Mapping[str, Any]) -> RunConfig:
    """The run that these options describe; what they leave out is the recipe's or the default.

    The options that a recipe gives its own method, network or dataset are not those of another.

    Raises UserError, one line, for an unknown option, a value of the wrong kind or out of range.
    """
    given = _with_recipe(options)
    known = options_of(Settings)
    values = read_all(known, {k: v for k, v in given.items() if k in known}, "a run")
    parts = {part: _FIND[part](values[part]) for part in PARTS}
    groups = {f"{part}.": str(values[part]) for part in PARTS}
    require_known(given, {**known, **{k: v for own, _, _ in parts.values() for k, v in own.items()}}, groups)
    made = {part: make(read_all(own, given, values[part])) for part, (own, make, _) in parts.items()}
    settings = construct(Settings, values)
    settings = replace(settings, data_dir=data_folder(settings.data_dir))
    sources = {part: source for part, (_, _, source) in parts.items() if source}
    return RunConfig(settings, made["pruner"], made["model"], made["dataset"], sources)


def network_of(options: Mapping[str, Any]) -> Network:
    """The network that a run with these options has; its method need not be there any more."""
    own, make, _ = _network(options["model"])
    return make(read_all(own, options, options["model"]))


def images_of(options: Mapping[str, Any]) -> Images:
    """The dataset that a run with these options has."""
    own, make, _ = _images(options["dataset"])
    return make(read_all(own, options, options["dataset"]))


def part_options(options: Mapping[str, Any]) -> dict[str, Option]:
    """The own options of the method, network and dataset that are named; none of a default."""
    named = {part: str(options[part]) for part in PARTS if part in (options := _with_recipe(options))}
    return {k: v for part, name in named.items() for k, v in _FIND[part](name)[0].items()}


def data_folder(given: Path | None) -> Path | None:
    """The folder of the datasets: `given`, else that of the environment's PRUNEBENCH_DATA, else None."""
    folder = os.environ.get("PRUNEBENCH_DATA")
    return Path(folder) if given is None and folder else given


Found = tuple[dict[str, Option], Callable[[dict[str, Any]], Any], Source | None]


def _pruner(name: str) -> Found:
    cls, source = find_pruner(name)
    return options_of(cls, "pruner."), lambda values: construct(cls, values, "pruner."), source


def _network(name: str) -> Found:
    network, own = find_network(name)
    return own, lambda values: network.with_options(_bare(values, "model.")), network.source


def _images(name: str) -> Found:
    images, own = find_images(name)
    return own, lambda values: images.with_options(_bare(values, "dataset.")), images.source


_FIND: dict[str, Callable[[str], Found]] = {"dataset": _images, "model": _network, "pruner": _pruner}


def _bare(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in values.items()}


def _with_recipe(options: Mapping[str, Any]) -> Options:
    """The options above those of their recipe, each `snip(sparsity=0.9)` as its name and options."""
    options, recipe = dict(options), {}
    if options.get("recipe") is not None:
        recipe = canonical(recipe_options(str(options["recipe"])))
    options.pop("recipe", None)
    recipe.pop("recipe", None)
    for part in PARTS:
        recipe, options = _with_own_options(recipe, part), _with_own_options(options, part)
        if part in options and options[part] != recipe.get(part):
            recipe = {k: v for k, v in recipe.items() if not k.startswith(f"{part}.")}
    return {**recipe, **options}


def _with_own_options(options: Options, part: str) -> Options:
    """`pruner: snip(sparsity=0.9)` as `pruner: snip` and `pruner.sparsity: 0.9`.

    So the values of one sweep parameter can be methods with options that only they have.
    """
    written = options.get(part)
    if not isinstance(written, str) or "(" not in written or written.startswith("folder:"):
        return options
    name, _, inside = written.partition("(")
    try:
        call = ast.parse(f"f({inside}", mode="eval").body
        if not isinstance(call, ast.Call) or call.args or not isinstance(call.func, ast.Name):
            raise ValueError
        own = {f"{part}.{k.arg}": ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        example = {"pruner": "snip(sparsity=0.9)", "model": "resnet_20(shortcut='b')"}.get(part, "name(option=1)")
        raise UserError(f"{part} '{shown(written)}' must read like {example}") from error
    return {**options, part: name.strip(), **canonical(own), **_of(part, options)}


def _of(part: str, options: Options) -> Options:
    return {k: v for k, v in options.items() if k.startswith(f"{part}.")}
