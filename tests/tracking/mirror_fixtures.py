"""Fixtures of the tests of W&B: a client apart from the user's, a server, a record. A pytest plugin."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark.records.record import Record
from benchmark.tracking.client import release
from tests.tracking.mirrored import make_record
from tests.tracking.wandb_server import WandbServer, isolated_env


@pytest.fixture
def wandb_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The client, unconfigured, with a HOME of its own; W&B is a port where nobody listens."""
    (tmp_path / "home").mkdir()
    for name, value in isolated_env(tmp_path / "home", WANDB_BASE_URL="http://127.0.0.1:9").items():
        monkeypatch.setenv(name, value)
    yield
    if "wandb" in sys.modules:
        release()


@pytest.fixture
def server(wandb_client: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WandbServer]:
    """A server that the client is set to, with a key."""
    with WandbServer() as running:
        for name, value in running.env(tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def record(wandb_client: None, tmp_path: Path) -> Record:
    """The record of a finished run."""
    return make_record(tmp_path / "results", "one", "a" * 16)
