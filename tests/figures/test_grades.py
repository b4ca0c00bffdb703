"""The report's figures: what is drawn is what was given, and what is missing is not drawn as nothing earned."""

import math
import re
from xml.etree import ElementTree

import pytest

from servelab.figures import grades, style
from servelab.figures.grades import Spoke

SVG = "{http://www.w3.org/2000/svg}"


def drawn(text, tag):
    return list(ElementTree.fromstring(text).iter(SVG + tag))


def radius(path):
    """How far a sector reaches, from its arc."""
    return float(re.search(r"A([\d.]+) ", path.get("d"))[1])


def test_a_sector_is_as_long_as_its_mastery():
    paths = drawn(grades.radar([Spoke("a", 1.0, 0), Spoke("b", 0.25, 1), Spoke("c", 0.0, 2)]), "path")
    full = [p for p in paths if p.get("opacity") == "0.85"]
    assert [p.get("fill") for p in full] == [style.BLUE, style.ORANGE]
    assert radius(full[1]) == pytest.approx(radius(full[0]) / 4, abs=0.01)


def test_what_is_not_graded_is_empty_and_says_so():
    text = grades.radar([Spoke("a", 0.5, 0), Spoke("b", None, 1, "not graded yet")])
    assert [p.get("fill") for p in drawn(text, "path") if p.get("stroke-dasharray")] == ["none"]
    words = "".join("".join(t.itertext()) for t in drawn(text, "text"))
    assert "not graded yet" in words and "50 %" in words


def test_every_label_stays_on_the_picture():
    spokes = [Spoke("Understands inference metrics (latency, throughput)", 0.5, n % 4) for n in range(12)]
    for text in drawn(grades.radar(spokes), "text"):
        lines = 1 + len([t for t in text.iter(SVG + "tspan") if t.get("dy")])
        assert float(text.get("y")) >= 8 and float(text.get("y")) + 15 * (lines - 1) <= grades._HIGH


def test_titles_are_escaped():
    for text in (grades.radar([Spoke("<script>&", 0.5, 0)]), grades.radar([Spoke("<b>", None, 0, "<i>")])):
        assert "<script" not in text and "<b>" not in text and ElementTree.fromstring(text) is not None


def test_the_histogram_counts_everyone_once():
    marks = [0.0, 9.9, 10.0, 55.0, 99.0, 100.0]
    heights = [float(r.get("height")) for r in drawn(grades.histogram(marks), "rect")]
    one = min(heights)
    assert [round(h / one) for h in heights] == [2, 1, 1, 2]
    assert "median 32 %" in grades.histogram(marks)


def test_a_histogram_of_nobody_is_empty():
    assert drawn(grades.histogram([]), "rect") == []


def test_meters_and_leans():
    assert [float(r.get("width")) for r in drawn(grades.meter(0.5, width=100), "rect")] == [100, 50]
    assert len(drawn(grades.meter(0.0), "rect")) == 1
    assert drawn(grades.meter(None), "rect")[0].get("stroke-dasharray")
    right, left = (drawn(grades.lean(v, width=100), "rect")[1] for v in (0.5, -0.5))
    assert (float(right.get("x")), float(left.get("x"))) == (50, 25)
    assert math.isclose(float(right.get("width")), float(left.get("width")))
    assert right.get("fill") != left.get("fill") and len(drawn(grades.lean(None), "rect")) == 1


def test_no_title_ends_in_a_line_of_one_character():
    for title in ("理解推理性能指標（延遲、吞吐量）", "Understands inference metrics (latency, throughput)"):
        assert min(map(len, grades._lines(title))) > 6 and "".join(grades._lines(title)).replace(
            " ", ""
        ) == title.replace(" ", "")
