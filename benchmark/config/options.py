"""From what the user writes, a command line, a sweep file or a recipe, to a checked `RunConfig`.

All three give the same thing, option names and values, and take the same way: names are made
canonical (dotted, underscores), a recipe lies beneath them, tyro types them.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml

from benchmark.config.discovery import pruner_class, pruner_file_digest
from benchmark.config.settings import RunConfig, Settings
from benchmark.errors import UserError, unknown

RECIPES = Path(__file__).parent / "recipes"

Options = dict[str, Any]


def read_arguments(arguments: Sequence[str]) -> Options:
    """Options from a command line: `--a.b=1`, `--a-b 1`, `--flag`; several words become a list.

    Python literals of lists and dicts are read too, as W&B's agent writes them.
    """
    options: Options = {}
    words: list[str] | None = None
    for argument in arguments:
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            words = [value] if equals else []
            options[name] = words
        elif words is None:
            raise UserError(f"'{argument}' is not an option; options are written --name value, see --help")
        else:
            words.append(argument)
    return canonical({k: "True" if not v else v[0] if len(v) == 1 else v for k, v in options.items()})


def canonical(options: Mapping[str, Any], prefix: str = "") -> Options:
    """The options with dotted names in underscores, nested ones flattened."""
    flat: Options = {}
    for key, value in options.items():
        name = prefix + str(key).replace("-", "_")
        if isinstance(value, str) and value[:1] in ("[", "{", "("):
            with contextlib.suppress(ValueError, SyntaxError):
                value = ast.literal_eval(value)
        flat |= canonical(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def run_config(options: Mapping[str, Any]) -> RunConfig:
    """The run that these options describe; what they leave out is the recipe's or the default.

    The options that a recipe gives its own method are not those of another.

    Raises UserError, one line, for an unknown option, a value of the wrong kind or out of range.
    """
    recipe, options = _with_pruner_options(_recipe(options.get("recipe"))), _with_pruner_options(options)
    if options.get("pruner", recipe.get("pruner")) != recipe.get("pruner"):
        recipe = {k: v for k, v in recipe.items() if not k.startswith("pruner.")}
    options = {**recipe, **options}
    options.pop("recipe", None)
    name = str(options.get("pruner", Settings.pruner))
    cls = pruner_class(name)
    _check_names(options, cls, name)
    parsed = _parse(_schema(cls), _words(options))
    settings = dataclasses.replace(parsed.settings, data_dir=data_folder(parsed.settings.data_dir))
    return RunConfig(settings, parsed.method, pruner_file_digest(name))


def data_folder(given: Path | None) -> Path | None:
    """The folder of the datasets: `given`, else that of the environment's PRUNEBENCH_DATA, else None."""
    folder = os.environ.get("PRUNEBENCH_DATA")
    return Path(folder) if given is None and folder else given


def print_help(options: Mapping[str, Any], description: str, out: Any) -> None:
    """Write the help of `prunebench run`, with a method's own options where one is named."""
    import tyro

    schema = _schema(pruner_class(str(options["pruner"]))) if "pruner" in options else Settings
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        tyro.cli(schema, args=["--help"], prog="prunebench run", description=description, config=_tyro_config())


def recipe_names() -> list[str]:
    """The names that `--recipe` takes, next to a path."""
    return sorted(str(p.relative_to(RECIPES).with_suffix("")) for p in RECIPES.rglob("*.yaml"))


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; raises UserError where it is missing or is not YAML."""
    try:
        return yaml.load(path.read_text(), _Loader)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from error


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3, which PyYAML takes for a text, is a number, as it is for the W&B service."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _recipe(name: Any) -> Options:
    if name is None:
        return {}
    path = Path(str(name)) if str(name).endswith((".yaml", ".yml")) else RECIPES / f"{name}.yaml"
    if not path.is_file():
        raise unknown("recipe", str(name), recipe_names(), "or the path of a YAML file")
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold option names and values, such as `train.epochs: 20`")
    return canonical(content)


def _with_pruner_options(options: Mapping[str, Any]) -> Options:
    """`pruner: snip(sparsity=0.9)` as `pruner: snip` and `pruner.sparsity: 0.9`.

    So the values of one sweep parameter can be methods with options that only they have.
    """
    name, bracket, inside = str(options.get("pruner", "")).partition("(")
    if not bracket:
        return dict(options)
    try:
        call = ast.parse(f"f({inside}", mode="eval").body
        assert isinstance(call, ast.Call)
        assert not call.args
        own = {f"pruner.{k.arg}": ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError, AssertionError) as error:
        raise UserError(
            f"pruner '{options['pruner']}' must read like snip(sparsity=0.9, distribution='erk')"
        ) from error
    return {
        **options,
        "pruner": name,
        **canonical(own),
        **{k: v for k, v in options.items() if k.startswith("pruner.")},
    }


def _schema(cls: type) -> type:
    """A dataclass of the settings and, under `pruner.`, the method's own options."""
    import tyro

    return dataclasses.make_dataclass(
        "Run",
        [
            ("settings", Annotated[Settings, tyro.conf.arg(name="")]),
            ("method", Annotated[cls, tyro.conf.arg(name="pruner")]),
        ],
    )


def _tyro_config() -> tuple[Any, ...]:
    import tyro

    return (tyro.conf.FlagConversionOff, tyro.conf.AvoidSubcommands)


def _parse(schema: type, words: list[str]) -> Any:
    import tyro

    shown = io.StringIO()
    try:
        with contextlib.redirect_stderr(shown):
            return tyro.cli(schema, args=words, prog="prunebench run", config=_tyro_config())
    except SystemExit as error:
        raise UserError(_one_line(shown.getvalue())) from error


def _one_line(box: str) -> str:
    """What tyro says in its box, in one line: the error, without the help around it."""
    lines = [line.strip("│ ").strip() for line in box.splitlines() if not line.startswith(("╭", "╰"))]
    until = next((i for i, line in enumerate(lines) if line.startswith("──")), len(lines))
    text = " ".join(line for line in lines[:until] if line)
    return re.sub(r"^Error parsing (--)?", "", text).replace("-", "_", 0)


def _check_names(options: Options, cls: type, pruner: str) -> None:
    own = [f"pruner.{f.name}" for f in dataclasses.fields(cls)]
    known = [*_names(Settings), *own]
    for name in options:
        if name not in known:
            near = own if name.startswith("pruner.") else known
            raise unknown(f"option of {pruner}" if near is own else "option", name, near)


def _names(cls: type, prefix: str = "") -> Iterator[str]:
    for f in dataclasses.fields(cls):
        if f.default_factory is not dataclasses.MISSING and dataclasses.is_dataclass(f.default_factory):
            yield from _names(f.default_factory, f"{prefix}{f.name}.")  # type: ignore[arg-type]
        else:
            yield prefix + f.name


def _words(options: Options) -> list[str]:
    words: list[str] = []
    for name, value in options.items():
        values = value if isinstance(value, list | tuple) else [value]
        words += [f"--{name}", *map(str, values)]
    return words
