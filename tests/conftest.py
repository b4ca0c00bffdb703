"""Shared by every test: nothing of the author's own session leaks in, and what ran, passed and was skipped is said."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

LEAKS = [f"SERVELAB_{name}" for name in ("LANGUAGE", "EFFORT", "STATIC", "OWNER", "WORKSPACE", "TIER")]


def pytest_configure(config: pytest.Config) -> None:
    for name in LEAKS:
        os.environ.pop(name, None)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    # No test hangs on timing, and a failure on one machine is the same failure on the next.
    settings.register_profile("course", deadline=None, derandomize=True)
    settings.load_profile("course")


@pytest.fixture(autouse=True)
def _unchanged_environment(monkeypatch: pytest.MonkeyPatch):
    """A test may set variables through monkeypatch; whatever else it sets does not outlive it."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
