"""One static page per variant: how it was trained, the timeline, the nulls, and every view. It works offline."""

import html
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from miscope.core import MiscopeError
from miscope.report.timeline import Event, Timeline
from miscope.workspace.files import Folder

FIRST = ("phases", "losses")  # instruments whose views come first

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 1000px; margin: 2rem auto; padding: 0 1rem }}
h2 {{ margin-top: 3rem; border-bottom: 1px solid #ddd }}
table {{ border-collapse: collapse }} td {{ padding: .1rem 1.5rem .1rem 0; vertical-align: top }}
.events td {{ border-bottom: 1px solid #eee }} .when {{ white-space: nowrap; color: #666 }}
.reading {{ color: #555; font-size: 14px; margin: 0 1rem 2rem; max-width: 70ch }}
nav {{ margin-top: 1rem }} nav a {{ margin-right: 1rem; color: #0072b2 }}
</style>
<script>{plotly}</script></head><body>
<h1>{title}</h1>
<table>{facts}</table>
{timeline}
{chance}
<nav>{links}</nav>
{sections}
</body></html>
"""

FIGURE = """<div id="{name}"></div><script>
Plotly.newPlot("{name}", {figure}, {{responsive: true, displaylogo: false}});
</script><p class="reading">{reading}</p>"""


@dataclass(frozen=True)
class Drawing:
    """A drawn view: its figure as JSON, with its `reading` and `null`, or the reason why it is `absent`."""

    name: str
    text: str
    meta: Mapping[str, str]


def page(folder: Folder, timeline: Timeline) -> str:
    """The report as HTML, made from the variant's record, its timeline and its drawn views.

    Raises:
        MiscopeError: the variant is not trained, or nothing of it is drawn.
    """
    if not folder.record.is_file() or not folder.views.is_dir():
        raise MiscopeError(f"`{folder.name}` is not trained and drawn. Run `dvc repro report@{folder.name}`.")
    record = json.loads(folder.record.read_text(encoding="utf-8"))
    instruments = sorted((path for path in folder.views.iterdir() if path.is_dir()), key=_rank)
    task = record["family"].rpartition(".")[0].rpartition(".")[2] or record["family"]  # the module of the family
    drawings = {path.name: _drawings(path, task if path.name == "task" else path.name) for path in instruments}
    return PAGE.format(
        title=html.escape(f"{record['variant']}: {record['label']}"),
        plotly=get_plotlyjs(),
        facts="".join(
            f"<tr><td>{html.escape(k)}</td><td>{html.escape(v)}</td></tr>" for k, v in _facts(record).items()
        ),
        timeline=_timeline(timeline, {path.name for path in instruments}),
        links=" ".join(f'<a href="#{path.name}">{path.name.replace("_", " ")}</a>' for path in instruments),
        chance=_against_chance(one for each in drawings.values() for one in each),
        sections="\n".join(_section(name, each) for name, each in drawings.items()),
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


def _timeline(timeline: Timeline, drawn: set[str]) -> str:
    """All events in order, each with a link to the views that show it."""
    if not timeline.events:
        return ""
    reasons = html.escape(" ".join(timeline.reasons))
    verdict = f"<p>Is the training complete? Verdict: <b>{timeline.verdict}</b>. {reasons}</p>" * bool(timeline.verdict)
    rows = "".join(
        f'<tr><td class="when">{_when(event)}</td><td>{html.escape(event.sentence)}</td>'
        f"<td>{_link(event, drawn)}</td></tr>"
        for event in timeline.events
    )
    return f'<h2 id="timeline">What happened, in order</h2>{verdict}<table class="events">{rows}</table>'


def _when(event: Event) -> str:
    return f"step {event.by:,}" if event.before is None else f"between steps {event.before:,} and {event.by:,}"


def _link(event: Event, drawn: set[str]) -> str:
    name = event.instrument
    return f'<a href="#{name}">{name.replace("_", " ")}</a>' if name in drawn else ""


def _rank(path: Path) -> tuple[int, str]:
    return (FIRST.index(path.name) if path.name in FIRST else len(FIRST), path.name)


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())


def _drawings(path: Path, name: str) -> list[Drawing]:
    """The drawn views of one instrument, or of the task, its overview first."""
    drawn = sorted(path.glob("*.json"), key=lambda file: (file.stem != "overview", file.stem))
    texts = {f"{name}.{file.stem}": file.read_text(encoding="utf-8") for file in drawn}
    return [Drawing(name, text, json.loads(text)["layout"]["meta"]) for name, text in texts.items()]


def _against_chance(drawings: Iterable[Drawing]) -> str:
    """How many views show more than chance would, and a list of those that do not."""
    nulls = {one.name: one.meta["null"] for one in drawings if "null" in one.meta}
    beyond, within = ([name for name in nulls if nulls[name].startswith(kind)] for kind in ("Beyond", "Within"))
    rows = "".join(
        f'<tr><td class="when"><a href="#{name}">{name}</a></td><td>{html.escape(sentence)}</td></tr>'
        for name, sentence in ((name, nulls[name].partition(": ")[2]) for name in within)
    )
    counts = f"<p>Of {len(nulls)} views {len(beyond)} show more than chance would; these {len(within)} do not:</p>"
    return f'<h2 id="chance">Which views show more than chance?</h2>{counts}<table class="events">{rows}</table>'


def _section(instrument: str, drawings: list[Drawing]) -> str:
    # "</" would end the script element early
    figures = [
        FIGURE.format(name=one.name, figure=one.text.replace("</", "<\\/"), reading=html.escape(one.meta["reading"]))
        for one in drawings
        if "absent" not in one.meta
    ]
    reasons = dict.fromkeys(one.meta["absent"] for one in drawings if "absent" in one.meta)
    figures += [f"<p>{html.escape(reason)}</p>" for reason in reasons]
    return f'<h2 id="{instrument}">{instrument.replace("_", " ")}</h2>\n' + "\n".join(figures)
