"""The comments that stand behind the fields of a class and the parameters of a function: their documentation."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import textwrap
import tokenize
from functools import cache
from typing import Any


@cache
def comments(source: Any) -> dict[str, str]:
    """The comment behind each field of a class, inherited ones too, or each parameter of a function."""
    if inspect.isclass(source):
        inherited = [_comments_in(cls) for cls in reversed(source.__mro__) if dataclasses.is_dataclass(cls)]
        return {name: text for each in inherited for name, text in each.items()}
    return _comments_in(source)


def _comments_in(source: Any) -> dict[str, str]:
    try:
        text = textwrap.dedent(inspect.getsource(source))
        (tree,) = ast.parse(text).body
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (OSError, TypeError, SyntaxError, ValueError, tokenize.TokenError):
        return {}
    behind = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
    if isinstance(tree, ast.ClassDef):
        fields = [n for n in tree.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
        return {n.target.id: _within(n, behind) for n in fields if isinstance(n.target, ast.Name)}
    return {node.arg: _within(node, behind) for node in ast.walk(tree) if isinstance(node, ast.arg)}


def _within(node: ast.AnnAssign | ast.arg, behind: dict[int, str]) -> str:
    """The comments on the lines of a node."""
    return " ".join(behind[line] for line in range(node.lineno, (node.end_lineno or 0) + 1) if line in behind)
