"""Finding a pruning method: a file or package in `baselines/`, a file of the user's, or an installed entry point."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from dataclasses import fields
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from benchmark.errors import UserError, unknown
from benchmark.user_code import Source, is_file, load

if TYPE_CHECKING:
    from benchmark.pruning import Pruner

GROUP = "prunebench.pruners"
CONTRACT = Path(__file__).parents[1] / "pruning" / "pruner.py"  # with the classes that methods extend
WAY_ON = "a method of your own: --pruner path/to/file.py:Class"


def pruner_names() -> list[str]:
    """The names of all methods that can be named on the command line."""
    return sorted({*shipped_files(), *(e.name for e in entry_points(group=GROUP))})


def pruner_class(name: str) -> type[Pruner]:
    """The method called `name`: the one Pruner defined in that file, or the named entry point.

    Raises UserError where there is none, or where the file cannot be read.
    """
    return find_pruner(name)[0]


def find_pruner(name: str) -> tuple[type[Pruner], Source | None]:
    """The method called `name`, and where it is from if it is not this suite's own; as `pruner_class`."""
    if is_file(name):
        found, source = load("pruner", name, "class", _is_method)
        return _checked(found, name), source
    if name in shipped_files():
        module = ".".join(["baselines", name, *(["method"] if shipped_files()[name].stem == "method" else [])])
        return _only_pruner(importlib.import_module(module), name), None
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            return _installed(entry)
    raise unknown("pruner", name, pruner_names(), WAY_ON)


def pruner_summary(name: str) -> tuple[str, dict[str, str]]:
    """A method's docstring, and its options, inherited ones first, with their defaults.

    A method of this suite is not imported for that, which would import torch.
    """
    path = shipped_files().get(name)
    if path is None:
        cls = pruner_class(name)
        return cls.__doc__ or "", {f.name: str(f.default) for f in fields(cls)}
    classes = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.ClassDef) and ast.get_docstring(n)]
    if not classes:
        return "", {}
    bases = {n.name: n for n in ast.parse(CONTRACT.read_text()).body if isinstance(n, ast.ClassDef)}
    return ast.get_docstring(classes[0], clean=False) or "", _defaults(classes[0], bases)


def _defaults(cls: ast.ClassDef, bases: dict[str, ast.ClassDef]) -> dict[str, str]:
    """The fields of a class with their defaults, those of its `bases` first, as they are written."""
    found: dict[str, str] = {}
    for base in reversed([ast.unparse(b) for b in cls.bases]):
        found |= _defaults(bases[base], bases) if base in bases else {}
    own = [n for n in cls.body if isinstance(n, ast.AnnAssign) and "ClassVar" not in ast.unparse(n.annotation)]
    return found | {ast.unparse(n.target): ast.unparse(n.value) if n.value else "?" for n in own}


def shipped_files() -> dict[str, Path]:
    """The files of the methods in `baselines/`, NAME.py or NAME/method.py, by their names."""
    found = importlib.util.find_spec("baselines")
    assert found is not None
    assert found.submodule_search_locations
    folder = Path(found.submodule_search_locations[0])
    files = {p.stem: p for p in folder.glob("*.py") if not p.stem.startswith("_")}
    return dict(sorted({**files, **{p.parent.name: p for p in folder.glob("*/method.py")}}.items()))


def _installed(entry: EntryPoint) -> tuple[type[Pruner], Source]:
    try:
        found = entry.load()
    except (Exception, SystemExit) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"pruner '{entry.name}': importing {entry.value} failed: {said}") from error
    package = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
    return _checked(found, entry.name), Source(entry.name, package=package)


def _only_pruner(module: ModuleType, name: str) -> type[Pruner]:
    found = [v for v in vars(module).values() if _is_method(v) and getattr(v, "__module__", None) == module.__name__]
    if len(found) != 1:
        raise UserError(f"baselines/{name}.py must define one Pruner, it defines {len(found)}")
    return _checked(found[0], name)


def _is_method(value: object) -> bool:
    from benchmark.pruning import Pruner

    return isinstance(value, type) and issubclass(value, Pruner)


def _checked(value: object, name: str) -> type[Pruner]:
    from benchmark.pruning import Pruner, check_class

    if not (isinstance(value, type) and issubclass(value, Pruner)):
        raise UserError(f"pruner '{name}' is not a subclass of benchmark.Pruner")
    check_class(value, name)
    return value
