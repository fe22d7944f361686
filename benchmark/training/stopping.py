"""A signal to stop, which waits until what is under way is whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from benchmark.errors import Interrupted


class Stop:
    """Whether this process was asked to stop, and with which exit status: `asked`.

    A signal interrupts where it comes, but for what runs `held`: that sees `asked` and ends as soon as it can.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._holding = False

    def ask(self, number: int) -> None:
        """Take signal `number`; raises Interrupted, unless that has to wait."""
        self.asked = 128 + number
        if not self._holding:
            raise Interrupted(self.asked)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Within, a signal waits; at the end Interrupted is raised for it. An error of what is within goes first."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        if self.asked is not None:
            raise Interrupted(self.asked)
