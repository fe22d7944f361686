"""torch.compile is imported where somebody compiles, and not to be kept out."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from benchmark.network.tracing import spare_dynamo


def _kept_out(calls: list[str]) -> Any:
    """A function as torch wraps those that it keeps out of torch.compile."""

    def wrapped(value: int) -> int:
        calls.append("spared")
        return value

    def method(value: int) -> int:
        found: Any = getattr(wrapped, "__dynamo_disable", None)
        if found is not None:
            return found(value)
        calls.append("torch's way")
        return value

    method.__wrapped__ = wrapped  # type: ignore[attr-defined]
    return method


def test_a_method_is_spared_dynamo_until_somebody_has_imported_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    method = _kept_out(calls)
    spare_dynamo(method)
    monkeypatch.delitem(sys.modules, "torch._dynamo", raising=False)
    assert method(1) == 1
    monkeypatch.setitem(sys.modules, "torch._dynamo", types.ModuleType("torch._dynamo"))
    assert method(2) == 2
    assert method(3) == 3
    assert calls == ["spared", "torch's way", "torch's way"]


def test_a_method_that_torch_does_not_wrap_is_left_alone() -> None:
    spare_dynamo(len)
    assert len("ab") == 2
