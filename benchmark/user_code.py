"""Methods, networks and datasets of the user's own: `path/to/file.py:name`, loaded with what lies beside the file."""

from __future__ import annotations

import ast
import hashlib
import sys
import types
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmark.errors import UserError, unknown

SHORT = 8  # characters of a digest that are shown
OURS = ("benchmark", "baselines", "reports")  # beside a file in this suite's own folder, and no part of it

Files = tuple[tuple[str, bytes], ...]  # names relative to a folder, and contents


@dataclass(frozen=True)
class Source:
    """Where something is from that is not this suite's own, and its version: what an identity needs of it."""

    name: str  # in that file or package, without the path to it
    digest: str = ""  # sha256 of a file, with what it imports from beside it, or of a folder
    path: str = ""  # where it was read; no part of an identity
    package: str = ""  # the distribution, and its version
    files: Files = ()  # the file and those beside it that it imports

    @property
    def identity(self) -> dict[str, str]:
        return {"name": self.name, "digest": self.digest, "package": self.package}

    @property
    def label(self) -> str:
        """Its name with its version: equal only for equal code."""
        return " ".join(part for part in (self.name, self.digest[:SHORT], self.package) if part)

    @property
    def about(self) -> dict[str, Any]:
        """What a record says of it."""
        return {k: v for k, v in {**asdict(self), "label": self.label}.items() if v and k != "files"}


def is_file(name: str) -> bool:
    """Whether `name` says path/to/file.py:name, or tries to."""
    return name.endswith(".py") or ".py:" in name


def load(kind: str, name: str, what: str, fits: Callable[[object], bool]) -> tuple[Any, Source]:
    """What the user's file defines under the name behind the colon, and where it is from.

    `what` it has to be, a class or a function, is said in errors; `fits` tells which of the file's own are meant.

    Raises UserError where the file cannot be read or imported, or has no such thing.
    """
    file, colon, own = name.rpartition(":")
    if not colon or not own.isidentifier():
        raise UserError(f"{kind} '{name}' must be path/to/file.py:{what}, with the name of the {what} after the colon")
    path = Path(file)
    try:
        content = path.read_bytes()
    except OSError as error:
        missing = not isinstance(error, PermissionError | IsADirectoryError)
        reason = f"there is no file {path}" if missing else f"cannot read {path}: {error.strerror}"
        raise UserError(f"{kind} '{name}': {reason}") from error
    module = _module(path.resolve(), content, kind)
    try:
        files = code_of(path)
    except OSError as error:
        raise UserError(f"{kind} '{name}': cannot read {error.filename}: {error.strerror}") from error
    found = vars(module).get(own)
    if found is None:
        raise unknown(what, own, (n for n, v in vars(module).items() if fits(v) and _is_of(v, module)), f"in {path}")
    return found, Source(own, _digest(files), str(path), files=files)


def code_of(path: Path) -> Files:
    """The Python file at `path`, then all files beside it that it imports, and that these import, sorted by name.

    Found by reading, not by running, so that it is the same whatever was imported before. Raises OSError.
    """
    found: dict[Path, bytes] = {}
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found[file] = file.read_bytes()
            waiting += _imported(file, found[file], path.parent)
    names = sorted(file.relative_to(path.parent).as_posix() for file in found if file != path)
    return ((path.name, found[path]), *((name, found[path.parent / name]) for name in names))


def _imported(file: Path, content: bytes, folder: Path) -> list[Path]:
    """The files below `folder` that a file's import statements name; none where it cannot be parsed."""
    try:
        nodes = list(ast.walk(ast.parse(content)))
    except (SyntaxError, ValueError, RecursionError):
        return []
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            package = file.relative_to(folder).parent.parts
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)]
    found = []
    for parts in (name.split(".") for name in names if name and name.split(".")[0] not in OURS):
        for place in (folder.joinpath(*parts[:end]) for end in range(1, len(parts) + 1)):
            found += [f for f in (place.with_name(f"{place.name}.py"), place / "__init__.py") if f.is_file()]
    return found


def _digest(files: Files) -> str:
    """That of the file, whatever it is called; with others beside it, of all and of the others' names."""
    (_, first), *beside = files
    found = hashlib.sha256(first)
    for name, content in beside:
        found.update(f"{name} {hashlib.sha256(content).hexdigest()}".encode())
    return found.hexdigest()


@cache
def _module(path: Path, content: bytes, kind: str) -> types.ModuleType:
    """The file as a module; modules that lie beside it can be imported while it is."""
    module = types.ModuleType(f"{path.stem}_{hashlib.sha256(content).hexdigest()[:SHORT]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # types in dataclasses are looked up there
    for name in [n for n, m in sys.modules.items() if "." not in n and _lies_in(m, _FOLDERS - {path.parent})]:
        del sys.modules[name]  # from beside another file: what this file calls so is another
    _FOLDERS.add(path.parent)
    sys.path.insert(0, str(path.parent))
    try:
        exec(compile(content, path, "exec"), vars(module))
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{kind}: importing {path.name} failed: {said}") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


_FOLDERS: set[Path] = set()  # of the user's files loaded so far


def _lies_in(module: types.ModuleType, folders: set[Path]) -> bool:
    file = getattr(module, "__file__", None)
    return getattr(module, "__spec__", None) is not None and bool(file) and Path(file).parent in folders


def _is_of(value: object, module: types.ModuleType) -> bool:
    return getattr(value, "__module__", None) == module.__name__
