"""One static page per variant: what was trained, what happened in which order, and every view; it needs no network."""

import html
import json
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from miscope.core import MiscopeError
from miscope.store import Folder
from miscope.story import Happening, Story

FIRST = ("phases", "losses")  # what happened, before how it looked from inside

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 1000px; margin: 2rem auto; padding: 0 1rem }}
h2 {{ margin-top: 3rem; border-bottom: 1px solid #ddd }}
table {{ border-collapse: collapse }} td {{ padding: .1rem 1.5rem .1rem 0; vertical-align: top }}
.story td {{ border-bottom: 1px solid #eee }} .when {{ white-space: nowrap; color: #666 }}
.reading {{ color: #555; font-size: 14px; margin: 0 1rem 2rem; max-width: 70ch }}
nav {{ margin-top: 1rem }} nav a {{ margin-right: 1rem; color: #0072b2 }}
</style>
<script>{plotly}</script></head><body>
<h1>{title}</h1>
<table>{facts}</table>
{story}
<nav>{links}</nav>
{sections}
</body></html>
"""

FIGURE = """<div id="{name}"></div><script>
Plotly.newPlot("{name}", {figure}, {{responsive: true, displaylogo: false}});
</script><p class="reading">{reading}</p>"""


def page(folder: Folder, told: Story) -> str:
    """The report as HTML, made from the variant's record, what happened, and its drawn views.

    Raises:
        MiscopeError: the variant is not trained, or nothing of it is drawn.
    """
    if not folder.record.is_file() or not folder.views.is_dir():
        raise MiscopeError(f"`{folder.name}` is not trained and drawn. Run `dvc repro report@{folder.name}`.")
    record = json.loads(folder.record.read_text(encoding="utf-8"))
    instruments = sorted((path for path in folder.views.iterdir() if path.is_dir()), key=_place)
    return PAGE.format(
        title=html.escape(f"{record['variant']}: {record['label']}"),
        plotly=get_plotlyjs(),
        facts="".join(
            f"<tr><td>{html.escape(k)}</td><td>{html.escape(v)}</td></tr>" for k, v in _facts(record).items()
        ),
        story=_story(told, {path.name for path in instruments}),
        links=" ".join(f'<a href="#{path.name}">{path.name.replace("_", " ")}</a>' for path in instruments),
        sections="\n".join(_section(path) for path in instruments),
    )


def _facts(record: dict[str, Any]) -> dict[str, str]:
    ended = record["metrics"]
    if "imported" in record:
        training = f"imported: {', '.join(record['imported']['files'].values())}"
    else:
        training = f"{ended['steps']:,} steps in {ended['seconds']:,.0f} s on {record['device']['name']}"
    solved = f"; solved from step {ended['solved_step']:,}" if "solved_step" in ended else "; not solved"
    return {
        "task": f"{record['family'].replace('_', ' ')}: {_listed(record['settings'])}",
        "training": f"{training}{solved}",
        "at the end": f"test loss {ended['test_loss']:.3g} nats, test accuracy {ended['test_accuracy']:.4f}",
        "seeds": _listed(record["seeds"]),
        "versions": _listed(record["versions"]),
    }


def _story(told: Story, drawn: set[str]) -> str:
    """What happened, in order, each with a link to the views that show it."""
    if not told.happenings:
        return ""
    verdict = f"<p>Verdict: <b>{told.verdict}</b>. {html.escape(' '.join(told.reasons))}</p>" if told.verdict else ""
    rows = "".join(
        f'<tr><td class="when">{_when(what)}</td><td>{html.escape(what.sentence)}</td>'
        f"<td>{_link(what, drawn)}</td></tr>"
        for what in told.happenings
    )
    return f'<h2 id="story">What happened, in order</h2>{verdict}<table class="story">{rows}</table>'


def _when(what: Happening) -> str:
    return f"step {what.by:,}" if what.before is None else f"after step {what.before:,}, by {what.by:,}"


def _link(what: Happening, drawn: set[str]) -> str:
    name = what.instrument
    return f'<a href="#{name}">{name.replace("_", " ")}</a>' if name in drawn else ""


def _place(path: Path) -> tuple[int, str]:
    return (FIRST.index(path.name) if path.name in FIRST else len(FIRST), path.name)


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())


def _section(path: Path) -> str:
    drawn = sorted(path.glob("*.json"), key=lambda file: (file.stem != "overview", file.stem))
    texts = {f"{path.name}.{file.stem}": file.read_text(encoding="utf-8") for file in drawn}
    said = {name: json.loads(text)["layout"]["meta"] for name, text in texts.items()}
    # "</" would end the script element early
    figures = [
        FIGURE.format(name=name, figure=text.replace("</", "<\\/"), reading=html.escape(said[name]["reading"]))
        for name, text in texts.items()
        if "absent" not in said[name]
    ]
    reasons = dict.fromkeys(meta["absent"] for meta in said.values() if "absent" in meta)
    figures += [f"<p>{html.escape(reason)}</p>" for reason in reasons]
    return f'<h2 id="{path.name}">{path.name.replace("_", " ")}</h2>\n' + "\n".join(figures)
