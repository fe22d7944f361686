"""Reports are drawn in one form in tests that do not ask for every form: the texts are in the SVG."""

from __future__ import annotations

import pytest

from reports.figures import house


@pytest.fixture(autouse=True)
def _svg_alone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "every_form" not in request.fixturenames:
        monkeypatch.setattr(house, "FORMS", {"svg": house.FORMS["svg"]})


@pytest.fixture
def every_form() -> None:
    """For tests that are of all the forms of a figure."""
