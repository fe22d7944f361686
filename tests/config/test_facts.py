"""What the catalogue shows of a method without importing it."""

from __future__ import annotations

import ast
from dataclasses import fields

import pytest

from benchmark.config.discovery import pruner_class, pruner_summary, shipped_files
from benchmark.config.facts import method_facts


def test_facts_are_lines_of_their_own_with_what_is_indented_below_them() -> None:
    doc = (
        "Keep.\n\n    When: after training.\n    Looks at: weights and\n        inputs.\n"
        "    Cost of all this: much.\n    Score: |w|\n"
    )
    assert method_facts(doc) == {"When": "after training", "Looks at": "weights and inputs"}


@pytest.mark.parametrize("name", shipped_files())
def test_the_options_of_a_method_are_all_its_fields_with_their_defaults(name: str) -> None:
    _, options = pruner_summary(name)
    assert {k: ast.literal_eval(v) for k, v in options.items()} == {
        f.name: f.default for f in fields(pruner_class(name))
    }
