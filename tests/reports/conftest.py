"""Reports are drawn in one form in tests that do not ask for every form: the texts are in the SVG."""

from __future__ import annotations

import pytest

import reports
from reports import press


@pytest.fixture(autouse=True)
def _svg_alone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "every_form" not in request.fixturenames:
        monkeypatch.setattr(press, "FORMS", {"svg": press.FORMS["svg"]})
        monkeypatch.setattr(reports, "PROCESSES", 0)


@pytest.fixture
def every_form() -> None:
    """For tests that are of all the forms of a figure."""
