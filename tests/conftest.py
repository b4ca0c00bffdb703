"""Shared by every test: nothing of the author's own session leaks in, and what ran, passed and was skipped is said."""

from __future__ import annotations

import os

import pytest

LEAKS = ("SERVELAB_LANGUAGE", "SERVELAB_EFFORT", "SERVELAB_STATIC", "SERVELAB_OWNER", "SERVELAB_WORKSPACE", "SERVELAB_TIER")


def pytest_configure(config: pytest.Config) -> None:
    for name in LEAKS:
        os.environ.pop(name, None)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True)
def _unchanged_environment(monkeypatch: pytest.MonkeyPatch):
    """A test may set variables through monkeypatch; whatever else it sets does not outlive it."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
