"""What a method's docstring says of it in lines of their own, read without importing it."""

from __future__ import annotations

import re

FACTS = ("When", "Looks at", "Cost")  # when it prunes, what its scores look at, what they cost in passes


def method_facts(doc: str) -> dict[str, str]:
    """When a method prunes, what it looks at and what that costs, from the lines of its docstring that begin so.

    A line may go on in the next ones where they are indented further. What is not said is not there.
    """
    lines = re.findall(rf"^ *({'|'.join(FACTS)}): +(.+(?:\n {{8}}.+)*)", doc, flags=re.MULTILINE)
    return {name: " ".join(text.split()).removesuffix(".") for name, text in lines}
