"""Efficient Inference & Serving: the package behind the notebooks.

`import servelab` is cheap; what a notebook needs is loaded when it is first used.
"""

from __future__ import annotations

__all__ = ["lesson"]
__version__ = "2.0.0"


def __getattr__(name: str):
    if name == "lesson":
        from servelab.lessons import open_lesson

        return open_lesson
    raise AttributeError(f"module 'servelab' has no attribute {name!r}")
