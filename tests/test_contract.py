"""The contract, for every method in `baselines/`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

from benchmark.config.discovery import pruner_class, pruner_names, shipped_files
from benchmark.config.facts import FACTS, method_facts
from benchmark.data.dataset import load_dataset, pruning_batches
from benchmark.errors import UserError
from benchmark.models.registry import build_model
from benchmark.network.masked_model import MaskedModel, digest
from benchmark.pruning import Prune, SoftPruner, check_class, checked_plan, decide, family
from benchmark.training.soft import own_tensors

NAMES = [name for name in pruner_names() if name != "control"]  # which needs another run: tests/baselines
DATA = load_dataset("digits", size=(1, 28, 28))


@pytest.mark.parametrize("model", ["lenet_300_100", "lenet_5"])
@pytest.mark.parametrize("name", NAMES)
def test_what_a_method_decides_is_repeatable_and_keeps_the_contract(name: str, model: str) -> None:
    pruner = pruner_class(name)()
    net = MaskedModel(build_model(model, 10, 0, shape=(1, 28, 28)))
    if isinstance(pruner, SoftPruner):
        try:
            net.own = own_tensors(pruner, net)
        except UserError as error:
            pytest.skip(str(error))
    batches = pruning_batches(DATA, 0, 0, 200)
    first = next((p for p in checked_plan(pruner, 100) if isinstance(p, Prune)), Prune(0.0))
    decided = []
    for _ in range(2):
        torch.manual_seed(0)
        decided.append(decide(pruner, net, batches, first))
    assert digest(decided[0].masks) == digest(decided[1].masks)
    assert digest(decided[0].values) == digest(decided[1].values)


@pytest.mark.parametrize("name", pruner_names())
def test_every_method_says_what_it_keeps_and_where_it_is_from(name: str) -> None:
    cls = pruner_class(name)
    check_class(cls, name)
    doc = cls.__doc__ or ""
    assert doc.splitlines()[0].endswith((".", ":"))
    assert name == "dense" or "Source:" in doc


@pytest.mark.parametrize("name", NAMES)
def test_every_method_says_when_it_prunes_what_it_looks_at_and_what_that_costs(name: str) -> None:
    cls = pruner_class(name)
    facts = method_facts(cls.__doc__ or "")
    assert facts.keys() == set(FACTS)
    assert facts["When"] == family(checked_plan(cls(), 10_000), 10_000)


def _lines_of_code(path: Path) -> int:
    """Without imports, docstrings, comments and empty lines."""
    text = path.read_text()
    lines = {n for n, line in enumerate(text.splitlines(), start=1) if line.strip() and line.strip()[0] != "#"}
    for node in ast.walk(ast.parse(text)):
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.stmt) and (docstring or isinstance(node, ast.Import | ast.ImportFrom)):
            lines -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(lines)


def test_a_method_is_under_ninety_lines_of_code_and_most_are_under_forty() -> None:
    lengths = {name: _lines_of_code(path) for name, path in shipped_files().items() if path.stem != "method"}
    assert max(lengths.values()) <= 90, lengths
    assert sum(length <= 40 for length in lengths.values()) > 0.9 * len(lengths), lengths
