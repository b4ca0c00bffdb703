"""An executed notebook as one web page that asks the network for nothing.

nbconvert makes the page; here its CDN scripts are left out, plotly is embedded once, and formulas become MathML,
which browsers draw by themselves.
"""

from __future__ import annotations

import copy
import html
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbformat import NotebookNode

if TYPE_CHECKING:
    from nbconvert import HTMLExporter

PLOTLY_MIME = "application/vnd.plotly.v1+json"

_TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js_requirejs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_css -%}
{{ super() }}
{%- if resources.plotly -%}<script>{{ resources.plotly }}</script>{%- endif -%}
<style>math[display=block] { margin: 0.8em 0; font-size: 1.15em } .tex { font-style: italic }</style>
{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
"""


def mathml(tex: str, display: bool) -> str:
    """A formula as MathML; one that the converter does not know stays legible as TeX."""
    try:
        from latex2mathml.converter import convert

        return convert(tex, display="block" if display else "inline")
    except Exception:  # absent, or one of its many errors
        return f'<code class="tex">{html.escape(tex)}</code>'


def markdown(text: str) -> str:
    """Markdown as nbconvert renders it, formulas as MathML."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def block_math(self, body: str) -> str:
            return mathml(body, display=True)

        def inline_math(self, body: str) -> str:
            return mathml(body, display=False)

        def latex_environment(self, name: str, body: str) -> str:
            return mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", display=True)

    return MarkdownWithMath(renderer=Renderer(escape=False)).render(text)


@lru_cache(maxsize=1)
def _exporter() -> HTMLExporter:
    """One for all pages: its templates are compiled once."""
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    return HTMLExporter(
        template_file="page.html.j2",
        extra_loaders=[DictLoader({"page.html.j2": _TEMPLATE})],
        filters={"markdown2html": markdown},
    )


def page(nb: NotebookNode, title: str, lang: str = "en") -> str:
    """The executed notebook as a page of its own."""
    from plotly.offline import get_plotlyjs

    nb, figures = _drawn(nb)
    nb.metadata.title = title
    nb.metadata.pop("widgets", None)
    resources = {"plotly": get_plotlyjs() if figures else "", "metadata": {"name": title}}
    text = _exporter().from_notebook_node(nb, resources)[0]
    tag = lang.replace("_", "-")  # nbconvert refuses a language with its region
    return text.replace('<html lang="en">', f'<html lang="{tag}">', 1)


def write(nb: NotebookNode, path: Path, lang: str = "en") -> Path:
    """Write the page to `path` and return it."""
    title = next((c.source.splitlines()[0].lstrip("# ") for c in nb.cells if c.source.startswith("# ")), path.stem)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(nb, title, lang))
    return path


def _drawn(nb: NotebookNode) -> tuple[NotebookNode, int]:
    """A copy whose plotly outputs are HTML that draws itself, and how many there are."""
    import plotly.io

    nb, figures = copy.deepcopy(nb), 0
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            figure = output.get("data", {}).get(PLOTLY_MIME)
            if figure is None:
                continue
            figures += 1
            div = plotly.io.to_html(
                {"data": figure["data"], "layout": figure["layout"]},
                config={"displaylogo": False, "displayModeBar": False, **figure.get("config", {})},
                full_html=False,
                include_plotlyjs=False,
                validate=False,
                default_height=f"{figure['layout'].get('height', 450)}px",
            )
            output["data"] = nbformat.from_dict({"text/html": div})
    return nb, figures


def remote(text: str) -> list[str]:
    """What in a page a browser would fetch from elsewhere while showing it; links to follow are no such thing."""
    text = re.sub(r"<script(?: type=\"text/javascript\")?>.*?</script>", "", text, flags=re.DOTALL)
    tags = r"<(?:script|img|link|iframe|source|video|audio)\b[^>]*?\b(?:src|href)=[\"'](https?:)?//[^\"']+"
    imports = r"(?:\bfrom|\bimport|url\()\s*(?:url)?\(?\s*[\"']?(?:https?:)?//[^\"')\s]+"
    return [m.group(0) for m in re.finditer(f"{tags}|{imports}", text)]
