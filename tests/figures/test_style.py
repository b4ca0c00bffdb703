import itertools

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest

from servelab.figures import style

LIGHT, DARK = "#ffffff", "#111111"
# How the red-, green- and blue-blind see linear RGB: Machado, Oliveira and Fernandes (2009), severity 1.
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def linear(color: str) -> np.ndarray:
    """sRGB as linear light, 0 ... 1."""
    c = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG contrast ratio."""
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(light: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of linear RGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x = to_xyz @ np.clip(light, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("color", style.PALETTE)
@pytest.mark.parametrize("page", [LIGHT, DARK])
def test_every_colour_stands_on_both_pages(color, page):
    assert contrast(color, page) >= 3


@pytest.mark.parametrize("page", [LIGHT, DARK])
def test_text_is_readable_on_both_pages(page):
    assert contrast(style.INK, page) >= 4.3


@pytest.mark.parametrize("sight", BLINDNESS)
def test_colours_differ_for_every_kind_of_sight(sight):
    seen = [lab(np.array(BLINDNESS[sight]) @ linear(c)) for c in style.PALETTE]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 10


def test_template_has_no_background_and_no_title():
    made = style.template()
    assert made.layout.paper_bgcolor == made.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert made.layout.title.text is None


def test_use_makes_it_the_default_of_every_figure(monkeypatch):
    monkeypatch.setattr(pio.templates, "default", "plotly")
    style.use()
    assert go.Figure().layout.template.layout.font.color == style.INK
    assert pio.renderers.default == "plotly_mimetype"


def test_figure_carries_the_template_without_use():
    made = style.figure("Time (s)", "Tokens", height=200)
    assert made.layout.template.layout.font.color == style.INK
    assert made.layout.xaxis.title.text == "Time (s)"
    assert made.layout.height == 200


def test_marks_tell_the_three_kinds_apart():
    marks = {kind: style.mark(kind, "TTFT", 0) for kind in ("measured", "modelled", "simulated")}
    assert len({m["line"]["dash"] for m in marks.values()}) == 3
    assert [("markers" in m["mode"]) for m in marks.values()] == [True, False, False]
    assert marks["measured"]["name"] == "TTFT (measured)"
    assert {m["line"]["color"] for m in marks.values()} == {style.BLUE}
    for kind in marks:
        go.Scatter(**style.mark(kind))


def test_mark_speaks_the_learners_language(monkeypatch):
    monkeypatch.setattr(
        style, "_", lambda text: {"measured": "實測", "{name} ({kind})": "{name}（{kind}）"}.get(text, text)
    )
    assert style.mark("measured", "TTFT")["name"] == "TTFT（實測）"


def test_colours_wrap_around_and_fade():
    assert style.colour(len(style.PALETTE)) == style.PALETTE[0]
    assert style.colour("#123456") == "#123456"
    assert style.fade("#ff0010", 0.5) == "rgba(255,0,16,0.5)"


def test_rule_puts_its_text_where_the_line_is_on_a_log_axis():
    fig = style.figure(xaxis_type="log")
    style.rule(fig, x=100, text="knee")
    style.rule(fig, y=3, text="SLO")
    assert fig.layout.shapes[0].x0 == 100
    assert fig.layout.annotations[0].x == pytest.approx(2)
    assert fig.layout.annotations[1].y == 3


def test_log_ticks_write_numbers_out():
    axis = style.log_ticks(3, 40)
    assert axis["type"] == "log"
    assert dict(zip(axis["tickvals"], axis["ticktext"], strict=True))[20] == "20"
    assert [t for t in style.log_ticks(1e-6, 1e6)["ticktext"] if t.startswith(("2", "5"))] == []


@pytest.mark.parametrize(
    ("value", "text"), [(0.01234, "0.0123"), (4.5, "4.5"), (123.4, "123"), (999.6, "1,000"), (12345.6, "12,346")]
)
def test_numbers_have_three_digits_and_no_exponent(value, text):
    assert style.number(value) == text
