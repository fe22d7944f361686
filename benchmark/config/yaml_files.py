"""YAML files, and the recipes among them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from benchmark.config.run import code_folder
from benchmark.errors import UserError, unknown
from benchmark.user_code import code_of, is_file

RECIPES = Path(__file__).parent / "recipes"
LARGEST = 1 << 18  # bytes of a YAML file; the largest shipped one has 2 KB
MOST = 100_000  # values in it, aliases written out


def recipe_names() -> list[str]:
    """The names that `--recipe` takes, next to a path."""
    return sorted(str(p.relative_to(RECIPES).with_suffix("")) for p in RECIPES.rglob("*.yaml"))


def recipe_options(name: str) -> dict[Any, Any]:
    """The options of a recipe: a shipped one's, a YAML file's, or those of a run whose config.json is given."""
    if name.endswith(".json"):
        return recorded_options(Path(name).parent, Path(name).name)
    path = Path(name) if name.endswith((".yaml", ".yml")) else RECIPES / f"{name}.yaml"
    if "\0" in name or not path.is_file():
        raise unknown("recipe", name, recipe_names(), "or the path of a YAML file or of a run's config.json")
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold option names and values, such as `train.epochs: 20`")
    return content


def recorded_options(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """The options of the run in `folder`; where code of the user's has changed since, its copy there is named.

    Raises UserError where there is no run.
    """
    try:
        content = json.loads((folder / name).read_text())
        options = dict(content["config"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder / name} is not the configuration of a run; give RESULTS/runs/NAME/config.json"
        ) from error
    for part in ("dataset", "model", "pruner"):
        if is_file(str(options.get(part, ""))):
            file, _, own = options[part].rpartition(":")
            copy = folder / code_folder(part) / Path(file).name
            if copy.is_file() and not (Path(file).is_file() and code_of(Path(file)) == code_of(copy)):
                options[part] = f"{copy}:{own}"
    return options


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises UserError, naming the file, where it is missing, too large or not YAML.
    """
    try:
        if not path.is_file():
            raise UserError(f"cannot read {path}: {'not a file' if path.exists() else 'No such file or directory'}")
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path} has more than {LARGEST >> 10} KiB; a file of options has some lines")
        text = path.read_text()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _extent(node, {})
        return loader.construct_document(node)
    except RecursionError as error:
        raise UserError(f"{path} is nested deeper than any option") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError) as error:  # as `!!int abc` raises
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())[:300]}") from error


def _extent(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node holds, aliases written out; raises YAMLError for one that holds itself, or too many."""
    if id(node) not in known:
        known[id(node)] = MOST  # until it is known: a node within itself has no end
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        nodes = [n for part in parts for n in (part if isinstance(part, tuple) else (part,))]
        known[id(node)] = 1 + sum(_extent(n, known) for n in nodes)
    if known[id(node)] >= MOST:
        raise yaml.MarkedYAMLError(None, None, "more values than any file of options has", node.start_mark)
    return known[id(node)]


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3, which PyYAML takes for a text, is a number, as it is for the W&B service."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)
