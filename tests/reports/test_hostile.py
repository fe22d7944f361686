"""Whatever lies in a results folder, a report is made of it or refused in one line, soon, in little memory."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from benchmark.errors import UserError
from reports import build, summary_text
from reports.files import OBJECT_BYTES, ROWS_BYTES
from tests.reports.made_up import point_row, write_run

FILES = ("config.json", "environment.json", "status.json", "epochs.jsonl", "points.jsonl")
MEMORY = 2 * 2**30

texts = st.one_of(
    st.sampled_from(
        ["", "$x^2$", "$\\frac{1", "\x00", "\ud800", "=1+1", "_a", "a|b", "<script>", "%s{x}", "/", "..", "日本"]
    ),
    st.text(st.characters(codec=None, exclude_categories=()), max_size=30),
    st.integers(1, 20_000).map(lambda n: "x" * n),
)
numbers = st.one_of(
    st.sampled_from([0, -1, 1, 2**63, 10**400, -0.0, 1e308, 1e-308, 5e-324, 10.0**15]),
    st.integers(),
    st.floats(),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)


def paths(value: Any, so_far: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in a JSON value something can be put in the place of something."""
    found = [so_far] if so_far else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        found += paths(part, (*so_far, key))
    return found


@st.composite
def changed(draw: st.DrawFn, path: Path) -> None:
    """One row or object of a file with a field of another value, a field less, or one more."""
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    number = draw(st.integers(0, max(0, len(lines) - 1)))
    content = json.loads(lines[number])
    there = paths(content)
    *way, last = there[draw(st.integers(0, max(0, len(there) - 1)))]
    part = content
    for key in way:
        part = part[key]
    if draw(st.integers(0, 4)):
        part[last] = draw(values)
    else:
        del part[last]
    lines[number] = json.dumps(content)
    path.write_text("\n".join(lines))


@st.composite
def rewritten(draw: st.DrawFn, path: Path) -> None:
    """A file of other bytes."""
    whole = path.read_bytes()
    deep = draw(st.sampled_from(["[", '{"a":', "["])) * draw(st.sampled_from([10, 1000, 100_000]))
    cut = draw(st.integers(0, len(whole)))
    choices: list[st.SearchStrategy[bytes]] = [
        st.binary(max_size=200),
        values.map(lambda value: json.dumps(value).encode()),
        st.sampled_from([deep.encode(), whole[:cut], whole + whole, whole + b"\n\n", b"9" * 10_000, b""]),
    ]
    path.write_bytes(draw(st.one_of(choices)))


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


OTHERS: tuple[Callable[[Path], object], ...] = (
    os.mkfifo,
    Path.mkdir,
    lambda path: path.symlink_to(path.name),
    lambda path: path.symlink_to("/dev/zero"),
    lambda path: path.symlink_to("/dev/stdin"),
    lambda path: path.symlink_to("nowhere"),
    lambda path: sparse(path, OBJECT_BYTES),
    lambda path: sparse(path, 2**40),
    lambda path: path.write_bytes(b"{}\n" * 200_000),
    lambda path: path.write_bytes(b"[[],[],[]]\n" * (ROWS_BYTES // 11 // 20)),
    lambda path: None,
)


@st.composite
def damage(draw: st.DrawFn, folder: Path) -> None:
    """A change to one file of a run, or to the name of its folder."""
    path = folder / draw(st.sampled_from(FILES))
    kind = draw(st.sampled_from(["changed"] * 6 + ["rewritten"] * 2 + ["other", "name"]))
    plain = path.is_file() and path.stat().st_size < 100_000  # no earlier damage is in the way
    if kind == "changed" and plain:
        with contextlib.suppress(ValueError, IndexError, RecursionError):  # no JSON any more, or empty
            draw(changed(path))
    elif kind == "rewritten" and plain:
        draw(rewritten(path))
    elif kind == "other" and path.is_file():
        path.unlink()
        draw(st.sampled_from(OTHERS))(path)
    elif kind == "name":
        name = draw(st.one_of(texts.filter(lambda t: t.isprintable()), st.just("\udcff"), st.just("=a\nb")))
        with contextlib.suppress(OSError, ValueError):
            folder.rename(folder.with_name(name.replace("/", "") or "x"))


def results_folder(root: Path) -> list[Path]:
    dense = point_row(0, 1, 0.99)
    folders = [write_run(root, "dense", [dense], pruner="dense")]
    folders.append(write_run(root, "magnitude", [dense, *(point_row(r, 4.0**r, 0.98 - 0.1 * r) for r in (1, 2))]))
    folders.append(write_run(root, "snip", [point_row(1, 2, 0.9)], pruner="snip", **{"pruner.sparsity": 0.5}))
    return folders


def _peak() -> int:
    """The most memory, in bytes, that the process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def hold(data: st.DataObject) -> None:
    """A damaged folder gives a report, or one line, and takes little memory for it."""
    before = _peak()  # of all tests until now
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for run in results_folder(root):
            for _ in range(data.draw(st.integers(0, 2))):
                if run.exists():
                    data.draw(damage(run))
        try:
            text = summary_text(build(root))
        except UserError as error:
            text = str(error)
            assert len(text.splitlines()) == 1
        text.encode()
    assert _peak() - before < MEMORY


CHECKS = {"deadline": timedelta(seconds=30), "suppress_health_check": list(HealthCheck), "database": None}


@settings(max_examples=8, derandomize=True, **CHECKS)
@given(st.data())
def test_a_hostile_folder_gives_a_report_or_one_line(data: st.DataObject) -> None:
    hold(data)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@settings(max_examples=2000, **CHECKS)
@given(st.data())
def test_two_thousand_hostile_folders_give_a_report_or_one_line_each(data: st.DataObject) -> None:
    hold(data)
