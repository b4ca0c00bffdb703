"""The web page of an executed notebook asks the network for nothing and shows its figures and formulas."""

from __future__ import annotations

import nbformat
import plotly.graph_objects as go
import pytest

from servelab.notebooks import html

from .conftest import code, markdown, notebook


@pytest.fixture(scope="module")
def page():
    figure = go.Figure(go.Scatter(x=[1, 2], y=[3, 4])).to_plotly_json()
    drawn = [code(f"figure-{n}", "figure") for n in (1, 2)]
    for cell in drawn:
        data = {html.PLOTLY_MIME: {"data": figure["data"], "layout": {}, "config": {}}, "text/plain": "Figure"}
        cell.outputs = [nbformat.v4.new_output("display_data", data=nbformat.from_dict(data))]
    prose = markdown("title", "# A title\n\nInline $E_i$ and\n\n$$\\rho = \\frac{\\lambda}{\\mu}$$\n\nand `$x$`.")
    return html.page(notebook([prose, *drawn]), "A title", "zh_TW")


def test_nothing_remote_is_loaded(page):
    assert html.remote(page) == []
    assert "require.min.js" not in page and "latest.js?config" not in page and "mermaid.esm" not in page


def test_plotly_is_there_once_and_every_figure_is_drawn(page):
    assert page.count("Plotly.newPlot(") - page.count("Plotly.newPlot(gd") >= 2
    assert page.count("plotly.js v") == 1
    assert len(page) < 8_000_000


def test_formulas_are_readable_without_a_script(page):
    assert "$\\rho" not in page and ("<math" in page or '<code class="tex">' in page)
    assert "<code>$x$</code>" in page


def test_a_formula_nobody_can_convert_stays_legible():
    assert "bad" in html.mathml(r"\begin{nonsense} bad < 1", display=False)


def test_a_page_without_a_figure_carries_no_plotly():
    assert len(html.page(notebook([markdown("title", "# Small")]), "Small")) < 1_000_000


def test_language_and_title_are_set(page):
    assert '<html lang="zh-TW">' in page and "<title>A title</title>" in page


def test_something_remote_would_be_noticed():
    assert html.remote('<script src="https://example.org/x.js"></script>')
    assert html.remote("<script type='module'>import x from 'https://example.org/x.mjs'</script>")
    assert not html.remote('<a href="https://example.org">a link to follow</a>')


def test_the_page_is_written_under_its_title(tmp_path):
    path = html.write(notebook([markdown("title", "# Written")]), tmp_path / "pages" / "w.html")
    assert "<title>Written</title>" in path.read_text()
