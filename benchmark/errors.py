"""The one kind of error that is the user's to mend, and how a wrong name is answered."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

SHOWN = 80  # characters of a wrong name that an error shows


class UserError(Exception):
    """Something the user can put right: shown as one line, without a traceback."""

    status = 2  # that the process exits with


class Diverged(Exception):
    """The training loss is no longer finite; its argument says where."""


def unknown(kind: str, name: str, known: Iterable[str], way_on: str = "") -> UserError:
    """The error for a name that does not exist: the nearest known one, then all of them."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    guess = f", did you mean '{near[0]}'?" if near else ";"
    rest = f"; {way_on}" if way_on else ""
    name = name if name.isprintable() else repr(name)[1:-1]
    name = name if len(name) <= SHOWN else f"{name[:SHOWN]}…"
    return UserError(f"unknown {kind} '{name}'{guess} known: {', '.join(names) or 'none'}{rest}")


class MethodError(Exception):
    """A pruning method broke its contract: the run fails, with this as its reason."""


class Interrupted(KeyboardInterrupt):
    """The process was asked to stop (SIGINT, SIGTERM); the run can go on from its checkpoint."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the machine or of its GPU."""
    names = {kind.__name__ for kind in type(error).__mro__}  # by name: torch may not be loaded
    says_so = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)  # PyTorch's, on a CPU
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or says_so
