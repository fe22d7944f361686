"""How a network is run so that what it does can be seen."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch


def spare_dynamo(method: Callable[..., Any]) -> None:
    """Call `method`, which torch keeps out of torch.compile, without importing torch._dynamo for that.

    The import takes as long as that of torch itself, and nothing is compiled before somebody else needs it: from
    then on torch has its way. Where torch wraps a method in another way this does nothing.
    """
    wrapped: Any = getattr(method, "__wrapped__", None)
    if wrapped is None:
        return

    def call(*args: Any, **kwargs: Any) -> Any:
        if "torch._dynamo" not in sys.modules:
            return wrapped(*args, **kwargs)
        wrapped.__dict__.pop("__dynamo_disable", None)
        return method(*args, **kwargs)

    wrapped.__dict__["__dynamo_disable"] = call  # where torch looks for what it made of `wrapped` before


@contextlib.contextmanager
def without_fast_path() -> Iterator[None]:
    """Run attention by its separate operations, not as the one that nothing sees into."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
