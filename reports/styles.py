"""Colour, marker and line of each method: the same in all figures of all reports."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from reports.curves import Method

Style = dict[str, Any]

# Okabe and Ito's colours, then Tol's muted ones (a brown for their sand, too pale on white), which colour-blind readers
# tell apart; markers serve those who print in grey.
COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00", "#999933"),
    *("#332288", "#44AA99", "#117733", "#A6761D", "#CC6677", "#882255", "#AA4499", "#88CCEE"),
)
MARKERS = "osD^vPX*<>hdp8H"
LINES = ("-", "--", ":", "-.")  # of one method with different options

# The n-th of these has the n-th colour, and the n-th marker of its colour; a new one goes to the end. The colour of a
# method that is not here comes from its name.
ORDER = (
    *("lottery_ticket", "magnitude", "nnrelief", "random", "snip", "grasp", "synflow", "lamp"),
    *("gradual_magnitude", "set", "rigl", "wanda", "sparsegpt", "movement", "l1_filters", "soft_threshold"),
    *("lr_rewinding", "fine_tuning", "early_magnitude", "taylor", "network_slimming", "control"),
)


def styles_of(methods: Iterable[Method]) -> dict[str, Style]:
    """The style of each label; no two that differ in more than their marks share colour and marker.

    A method has one colour whatever else is there; its marker is its own too, but for variants of one method (options
    that differ) and for methods that are not in ORDER, which take the next one free of their colour.
    """
    by_plain = {method.plain: method.name for method in methods}
    known = sorted(by_plain, key=lambda plain: (_rank(by_plain[plain]), by_plain[plain], plain))
    styles: dict[str, Style] = {}
    taken: set[tuple[int, int]] = set()
    owned = {_home(by_plain[plain]) for plain in known}
    variants: dict[str, int] = {}
    for plain in known:
        name = by_plain[plain]
        variant = variants[name] = variants.get(name, -1) + 1
        colour, marker = _home(name)
        while (colour, marker) in taken or (variant and (colour, marker) in owned):
            marker += 1
        taken.add((colour, marker))
        styles[plain] = {
            "color": COLOURS[colour],
            "marker": _marker(colour + marker),
            "linestyle": LINES[variant % len(LINES)],
        }
    return styles


def _rank(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)


def _home(name: str) -> tuple[int, int]:
    """Colour, and which marker of that colour."""
    if name in ORDER:
        return ORDER.index(name) % len(COLOURS), ORDER.index(name) // len(COLOURS)
    number = int(hashlib.sha256(name.encode()).hexdigest(), 16)
    return number % len(COLOURS), len(ORDER) // len(COLOURS) + number // len(COLOURS) % 4


def _marker(number: int) -> Any:
    """Beyond those with a name: stars of ever more points."""
    return MARKERS[number] if number < len(MARKERS) else (number - len(MARKERS) + 9, 1, 0)
