"""The lines of a docstring that the catalogue shows."""

from __future__ import annotations

from benchmark.config.facts import method_facts


def test_facts_are_lines_of_their_own_with_what_is_indented_below_them() -> None:
    doc = (
        "Keep.\n\n    When: after training.\n    Looks at: weights and\n        inputs.\n"
        "    Cost of all this: much.\n    Score: |w|\n"
    )
    assert method_facts(doc) == {"When": "after training", "Looks at": "weights and inputs"}
