"""Small pieces of HTML that read well on JupyterLab's light and dark page, and in a plain web page."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from servelab.figures.style import BLUE, GREEN, ORANGE

LINE = "var(--jp-border-color2, rgba(128,128,128,.35))"
TEXT = f"border-left:3px solid {BLUE};padding:2px 0 2px 14px;max-width:48rem;line-height:1.5"


class Shown:
    """Something to display: HTML where there is a page, its plain text elsewhere."""

    def __init__(self, html: str, text: str):
        self.html = html
        self.text = text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.text}

    def __repr__(self) -> str:
        return self.text


def panel(title: str, rows: Iterable[tuple[str, str]]) -> Shown:
    """A title over two columns, label and value (plain text)."""
    rows = list(rows)
    cells = "".join(
        f'<div style="opacity:.72">{html.escape(label)}</div><div>{html.escape(value)}</div>' for label, value in rows
    )
    body = (
        f'<div style="border:1px solid {LINE};border-radius:6px;padding:12px 16px;margin:4px 0;max-width:48rem;'
        f'color:var(--jp-ui-font-color1, currentColor);line-height:1.55">'
        f'<div style="font-size:1.15em;font-weight:600;margin-bottom:6px">{html.escape(title)}</div>'
        f'<div style="display:grid;grid-template-columns:max-content minmax(0,1fr);gap:2px 18px">{cells}</div></div>'
    )
    width = max((len(label) for label, _ in rows), default=0)
    text = "\n".join([title, *(f"  {label:<{width}}  {value}" for label, value in rows)])
    return Shown(body, text)


def sentence(text: str, good: bool | None = None) -> str:
    """One line of HTML; green with a tick, orange with a cross, or as it is."""
    if good is None:
        return f'<div style="{TEXT}">{html.escape(text)}</div>'
    color, sign = (GREEN, "✓") if good else (ORANGE, "✗")
    return f'<div style="{TEXT};border-color:{color}"><b style="color:{color}">{sign}</b> {html.escape(text)}</div>'


def verdicts(choices: Sequence[tuple[str, str, bool]], chosen: int | None) -> str:
    """Every choice of a question with why it is right or wrong: (text, why, right), texts already HTML."""
    lines = []
    for number, (text, why, right) in enumerate(choices):
        color, sign = (GREEN, "✓") if right else (ORANGE, "✗")
        weight = "600" if number == chosen else "400"
        lines.append(
            f'<div style="margin:6px 0"><span style="font-weight:{weight}"><b style="color:{color}">{sign}</b> {text}'
            f'</span><div style="padding-left:1.4em;opacity:.85">{why}</div></div>'
        )
    return "".join(lines)


def verdict(text: str, good: bool) -> str:
    """A word of judgement in its colour."""
    return f'<b style="color:{GREEN if good else ORANGE}">{html.escape(text)}</b>'
