"""A static page as HTML: its style, Plotly's script and all figures in one file, which works offline."""

import html
from collections.abc import Mapping

from plotly.offline import get_plotlyjs

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 1000px; margin: 2rem auto; padding: 0 1rem }}
h2 {{ margin-top: 3rem; border-bottom: 1px solid #ddd }}
table {{ border-collapse: collapse }} th {{ text-align: left; font-weight: 600 }}
td, th {{ padding: .1rem 1.5rem .1rem 0; vertical-align: top }}
.events td {{ border-bottom: 1px solid #eee }} .when {{ white-space: nowrap; color: #666 }}
.numbers {{ font-size: 14px }} details {{ overflow-x: auto }}
.reading {{ color: #555; font-size: 14px; margin: 0 1rem 2rem; max-width: 70ch }}
nav {{ margin-top: 1rem }} nav a {{ margin-right: 1rem; color: #0072b2 }}
</style>
<script>{plotly}</script></head><body>
<h1>{title}</h1>
<table>{facts}</table>
{above}
<nav>{links}</nav>
{sections}
</body></html>
"""

FIGURE = """<div id="{name}"></div><script>
Plotly.newPlot("{name}", Object.assign({figure}, {{config: {{responsive: true, displaylogo: false}}}}));
</script>"""


def page(title: str, facts: Mapping[str, str], sections: Mapping[str, str], above: str = "") -> str:
    """A page of facts, a part `above` the links, and sections by name; facts are texts, the rest is HTML."""
    rows = (f"<tr><td>{html.escape(name)}</td><td>{html.escape(text)}</td></tr>" for name, text in facts.items())
    return PAGE.format(
        title=html.escape(title),
        plotly=get_plotlyjs(),
        facts="".join(rows),
        above=above,
        links=" ".join(f'<a href="#{name}">{_words(name)}</a>' for name in sections),
        sections="\n".join(f'<h2 id="{name}">{_words(name)}</h2>\n{body}' for name, body in sections.items()),
    )


def figure(name: str, drawing: str, reading: str) -> str:
    """A figure, given as Plotly's JSON, and how to read it; `name` is its own on the page."""
    drawn = FIGURE.format(name=name, figure=drawing.replace("</", "<\\/"))  # "</" would end the script element early
    return f'{drawn}<p class="reading">{html.escape(reading)}</p>'


def _words(name: str) -> str:
    return html.escape(name.replace("_", " "))
