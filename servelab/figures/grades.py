"""Figures of the grading reports: mastery by item, the distribution of marks, and small bars for tables.

Drawn as SVG, not with plotly: a report is one file per learner that needs no script, is read as it is by a mail
program or a web page, and is printed with every colour even where a browser leaves backgrounds out. Text takes the
page's colour, graphics the course's palette.
"""

from __future__ import annotations

import html
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from servelab.figures import style
from servelab.figures.lessons import wrap
from servelab.i18n import _

_RINGS = (0.25, 0.5, 0.75, 1.0)
_WIDE, _HIGH, _RADIUS, _LINE = 800, 426, 165, 15


@dataclass(frozen=True)
class Spoke:
    """One item of the radar.

    Attributes:
        share: mastery, 0 ... 1; None where nothing is graded yet.
        color: its group's, a palette position.
        note: why there is no share.
    """

    title: str
    share: float | None
    color: int
    note: str = ""


def svg(width: float, height: float, body: str, label: str, scale: bool = True) -> str:
    """An SVG element with a name for those who do not see it; `scale`: as wide as its place, up to its own width."""
    size = (
        f'style="width:100%;max-width:{width:g}px;height:auto"' if scale else f'width="{width:g}" height="{height:g}"'
    )
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" {size} role="img" aria-label="{html.escape(label)}" '
        f'xmlns="http://www.w3.org/2000/svg" font-size="12" fill="currentColor">{body}</svg>'
    )


def radar(spokes: Sequence[Spoke]) -> str:
    """Mastery by item: a sector each, as long as its mastery.

    Sectors and not one polygon: what is not graded yet leaves a dotted arc around nothing, where a polygon
    would pull a corner to the middle and so draw it as 0 %.
    """
    x, y, parts = _WIDE / 2, _HIGH / 2, []
    step = 2 * math.pi / max(len(spokes), 1)
    for ring in _RINGS:
        parts.append(
            f'<circle cx="{x:g}" cy="{y:g}" r="{_RADIUS * ring:g}" fill="none" stroke="{style.GRID}" stroke-width="1"/>'
        )
    for number, spoke in enumerate(spokes):
        middle = number * step + step / 2
        start, end = middle - 0.44 * step, middle + 0.44 * step
        color = style.colour(spoke.color)
        if spoke.share is None:
            edge = f'fill="none" stroke="{style.GREY}" stroke-width="1" stroke-dasharray="2 4"'
            parts.append(f'<path d="{_arc(x, y, _RADIUS, start, end)}" {edge}/>')
        else:
            parts.append(f'<path d="{_sector(x, y, _RADIUS, start, end)}" fill="{color}" opacity="0.10"/>')
            length = _RADIUS * min(max(spoke.share, 0.0), 1.0)
            if length:
                parts.append(f'<path d="{_sector(x, y, length, start, end)}" fill="{color}" opacity="0.85"/>')
    angles = [number * step + step / 2 for number in range(len(spokes))]
    for right in (True, False):
        side = [(angle, spoke) for angle, spoke in zip(angles, spokes, strict=True) if (angle < math.pi) == right]
        parts += _labels(side if right else side[::-1], x, y, right)
    for ring in (0.5, 1.0):
        parts.append(
            f'<text x="{x:g}" y="{y - _RADIUS * ring - 3:g}" font-size="9.5" text-anchor="middle" opacity="0.65">'
            f"{100 * ring:.0f} %</text>"
        )
    told = ", ".join(f"{s.title} {_percent(s.share)}" for s in spokes)
    return svg(_WIDE, _HIGH, "".join(parts), told)


def _arc(x: float, y: float, radius: float, start: float, end: float) -> str:
    """The path of an arc; angles in radians, clockwise from the top."""
    (x0, y0), (x1, y1) = ((x + radius * math.sin(angle), y - radius * math.cos(angle)) for angle in (start, end))
    return f"M{x0:.2f} {y0:.2f}A{radius:.2f} {radius:.2f} 0 0 1 {x1:.2f} {y1:.2f}"


def _sector(x: float, y: float, radius: float, start: float, end: float) -> str:
    """The path of a sector."""
    return f"{_arc(x, y, radius, start, end)}L{x:.2f} {y:.2f}Z"


def _labels(side: Sequence[tuple[float, Spoke]], x: float, y: float, right: bool) -> list[str]:
    """Shares and titles in a column beside the circle, the top one first, each tied to its sector by a thin line."""
    texts = [_lines(spoke.title) for _angle, spoke in side]
    heights = [_LINE * (len(lines) + 1) + 10 for lines in texts]
    # As near to its sector as the labels above and below leave room for.
    tops = [
        y - (_RADIUS + 20) * math.cos(angle) - tall / 2 for (angle, _spoke), tall in zip(side, heights, strict=True)
    ]
    free = 0.0
    for number, tall in enumerate(heights):
        tops[number] = free = max(tops[number], free)
        free += tall
    free = _HIGH
    for number in reversed(range(len(tops))):
        tops[number] = free = min(tops[number], free - heights[number])
    way, anchor = (1, "start") if right else (-1, "end")
    at, drawn = x + way * (_RADIUS + 34), []
    for (angle, spoke), lines, top in zip(side, texts, tops, strict=True):
        graded = spoke.share is not None
        head = _percent(spoke.share) if graded else spoke.note
        weight, size, fill = ("700", 14, style.colour(spoke.color)) if graded else ("400", 11, style.GREY)
        line = top + _LINE
        sine, cosine = math.sin(angle), math.cos(angle)
        edge = f"M{x + (_RADIUS + 3) * sine:.1f} {y - (_RADIUS + 3) * cosine:.1f}"
        drawn.append(
            f'<path d="{edge}L{at - way * 18:.1f} {line - 4:.1f}H{at - way * 6:.1f}" fill="none" stroke="{style.GREY}" '
            f'stroke-width="0.8" opacity="0.6"/><text x="{at:.1f}" y="{line:.1f}" text-anchor="{anchor}">'
            f'<tspan font-weight="{weight}" font-size="{size}" fill="{fill}">{html.escape(head)}</tspan>'
            + "".join(f'<tspan x="{at:.1f}" dy="{_LINE}" opacity="0.85">{html.escape(one)}</tspan>' for one in lines)
            + "</text>"
        )
    return drawn


def _lines(title: str, width: int = 30) -> list[str]:
    """The title in as few lines as `width` allows, and these of even length: no last line with one character."""
    few = wrap(title, width).split("<br>")
    even = (wrap(title, narrow).split("<br>") for narrow in range(8, width + 1))
    return next((lines for lines in even if len(lines) == len(few)), few)


def histogram(marks: Sequence[float], bins: int = 10) -> str:
    """How many learners got which mark: percent, 0 ... 100, in `bins` steps of equal width; the median as a line."""
    counts = [0] * bins
    for mark in marks:
        counts[min(int(mark * bins / 100), bins - 1)] += 1
    left, right, top, bottom, width, height = 46, 12, 26, 46, 800, 260
    wide, tall, most = width - left - right, height - top - bottom, max([*counts, 1])
    every = max(1, math.ceil(most / 5))
    parts = []
    for value in range(0, most + 1, every):
        at = top + tall * (1 - value / most)
        parts.append(f'<path d="M{left} {at:.1f}H{width - right}" stroke="{style.GRID}"/>')
        parts.append(f'<text x="{left - 7}" y="{at + 4:.1f}" text-anchor="end" opacity="0.75">{value}</text>')
    for number, count in enumerate(counts):
        x0, high = left + wide * number / bins, tall * count / most
        if count:
            parts.append(
                f'<rect x="{x0 + 3:.1f}" y="{top + tall - high:.1f}" width="{wide / bins - 6:.1f}" height="{high:.1f}" '
                f'rx="2" fill="{style.BLUE}" opacity="0.8"/>'
            )
    for value in range(0, 101, 100 // bins if 100 % bins == 0 else 20):
        at = left + wide * value / 100
        parts.append(f'<text x="{at:.1f}" y="{top + tall + 17}" text-anchor="middle" opacity="0.75">{value}</text>')
    parts.append(f'<path d="M{left} {top + tall}H{width - right}" stroke="{style.INK}"/>')
    if marks:
        middle = statistics.median(marks)
        told = html.escape(_("median {mark:.0f} %").format(mark=middle))
        at = left + wide * middle / 100
        side, anchor = (-6, "end") if middle > 80 else (6, "start")
        parts.append(
            f'<path d="M{at:.1f} {top - 8}V{top + tall}" stroke="{style.ORANGE}" stroke-width="1.5" '
            f'stroke-dasharray="5 4"/><text x="{at + side:.1f}" y="{top - 8}" text-anchor="{anchor}" '
            f'fill="{style.ORANGE}" font-weight="600">{told}</text>'
        )
    across, up = html.escape(_("Mark (%)")), html.escape(_("Learners"))
    parts.append(f'<text x="{left + wide / 2:g}" y="{height - 8}" text-anchor="middle">{across}</text>')
    parts.append(f'<text transform="translate(13 {top + tall / 2:g}) rotate(-90)" text-anchor="middle">{up}</text>')
    return svg(width, height, "".join(parts), _("Distribution of marks"))


def meter(share: float | None, color: int | str = 0, width: int = 120) -> str:
    """A small bar, full at 1; an empty dotted one where there is no share."""
    if share is None:
        edge = f'fill="none" stroke="{style.GREY}" stroke-dasharray="2 3" opacity="0.7"'
        return svg(
            width, 10, f'<rect x="0.5" y="1.5" width="{width - 1}" height="7" rx="3.5" {edge}/>', "-", scale=False
        )
    length = width * min(max(share, 0.0), 1.0)
    body = f'<rect y="1" width="{width}" height="8" rx="4" fill="{style.GRID}"/>'
    if length:
        body += f'<rect y="1" width="{max(length, 3):.1f}" height="8" rx="4" fill="{style.colour(color)}"/>'
    return svg(width, 10, body, _percent(share), scale=False)


def lean(value: float | None, width: int = 90) -> str:
    """A small bar from the middle, to the right for a positive and to the left for a negative value (-1 ... 1)."""
    half = width / 2
    body = f'<rect y="3" width="{width}" height="4" rx="2" fill="{style.GRID}"/>'
    if value is not None:
        length = half * min(abs(value), 1.0)
        start, color = (half, style.BLUE) if value >= 0 else (half - length, style.ORANGE)
        body += f'<rect x="{start:.1f}" y="1" width="{max(length, 1):.1f}" height="8" rx="2" fill="{color}"/>'
    body += f'<path d="M{half} 0V10" stroke="{style.INK}"/>'
    return svg(width, 10, body, "-" if value is None else f"{value:+.2f}", scale=False)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"
