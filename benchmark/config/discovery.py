"""Finding a pruning method: a file or package in `baselines/`, a file of the user's, or an installed entry point."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from benchmark.errors import UserError, unknown

if TYPE_CHECKING:
    from benchmark.pruning import Pruner

GROUP = "prunebench.pruners"
WAY_ON = "a method of your own: --pruner path/to/file.py:Class"


def pruner_names() -> list[str]:
    """The names of all methods that can be named on the command line."""
    return sorted({*shipped_files(), *(e.name for e in entry_points(group=GROUP))})


def pruner_class(name: str) -> type[Pruner]:
    """The method called `name`: the one Pruner defined in that file, or the named entry point.

    Raises UserError where there is none, or where the file cannot be read.
    """
    if ".py" in name:
        return _from_file(name)
    if name in shipped_files():
        module = ".".join(["baselines", name, *(["method"] if shipped_files()[name].stem == "method" else [])])
        return _only_pruner(importlib.import_module(module), name)
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            return _checked(entry.load(), name)
    raise unknown("pruner", name, pruner_names(), WAY_ON)


def pruner_summary(name: str) -> str:
    """The first line of a method's docstring, read without importing it."""
    path = shipped_files().get(name)
    if path is None:
        return _first_line(pruner_class(name).__doc__)
    classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    return _first_line(next((doc for c in classes if (doc := ast.get_docstring(c))), None))


def pruner_file_digest(name: str) -> str | None:
    """The sha256 of a user's file, which is part of a run's identity; None for a method by name."""
    return hashlib.sha256(Path(name.rpartition(":")[0]).read_bytes()).hexdigest() if ".py" in name else None


def shipped_files() -> dict[str, Path]:
    """The files of the methods in `baselines/`, NAME.py or NAME/method.py, by their names."""
    found = importlib.util.find_spec("baselines")
    assert found is not None
    assert found.submodule_search_locations
    folder = Path(found.submodule_search_locations[0])
    files = {p.stem: p for p in folder.glob("*.py") if not p.stem.startswith("_")}
    return dict(sorted({**files, **{p.parent.name: p for p in folder.glob("*/method.py")}}.items()))


def _from_file(name: str) -> type[Pruner]:
    file, colon, cls = name.rpartition(":")
    if not colon or not cls.isidentifier():
        raise UserError(f"pruner '{name}' must be path/to/file.py:Class, with the name of the class after the colon")
    path = Path(file)
    if not path.is_file():
        raise UserError(f"pruner '{name}': there is no file {path}")
    spec = importlib.util.spec_from_file_location(f"pruner_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"pruner '{name}': importing {path} failed: {type(error).__name__}: {error}") from error
    if not hasattr(module, cls):
        raise unknown("class", cls, (n for n, v in vars(module).items() if _is_own_pruner(v, module)))
    return _checked(getattr(module, cls), name)


def _only_pruner(module: ModuleType, name: str) -> type[Pruner]:
    found = [value for value in vars(module).values() if _is_own_pruner(value, module)]
    if len(found) != 1:
        raise UserError(f"baselines/{name}.py must define one Pruner, it defines {len(found)}")
    return found[0]


def _is_own_pruner(value: object, module: ModuleType) -> bool:
    from benchmark.pruning import Pruner

    return isinstance(value, type) and issubclass(value, Pruner) and value.__module__ == module.__name__


def _checked(value: object, name: str) -> type[Pruner]:
    from benchmark.pruning import Pruner, check_class

    if not (isinstance(value, type) and issubclass(value, Pruner)):
        raise UserError(f"pruner '{name}' is not a subclass of benchmark.Pruner")
    check_class(value, name)
    return value


def _first_line(doc: str | None) -> str:
    return (doc or "").strip().partition("\n")[0]
