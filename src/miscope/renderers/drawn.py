"""A view's table as a figure, and as bytes: the one way from numbers to pictures."""

import json
import textwrap

import plotly.graph_objects as go

from miscope.core import NotApplicable
from miscope.instrument import Table, View
from miscope.keys import canonical_json
from miscope.renderers import theme
from miscope.renderers.frame import Frame, Phases


def drawn(view: View, table: Table, label: str, step: int | None = None, phases: Phases | None = None) -> go.Figure:
    """The figure of a view's table; `step` is marked on a step axis, or named under the question."""
    return view.draw(table, Frame(question=view.question, subtitle=label, step=step, phases=phases))


def as_json(figure: go.Figure, view: View) -> str:
    """A figure as Plotly JSON whose bytes are stable, with how to read it."""
    figure.update_layout(meta={**(figure.layout.meta or {}), "reading": view.reading})
    return _bytes(figure)


def absent_as_json(view: View, reason: NotApplicable) -> str:
    """What stands in a figure's place where the view does not apply; `layout.meta["absent"]` holds the reason."""
    figure = go.Figure(layout={"title": {"text": view.question}, "meta": {"absent": str(reason)}})
    figure.add_annotation(
        text="<br>".join(textwrap.wrap(str(reason), 80)), x=0, y=1, xref="paper", yref="paper", xanchor="left",
        showarrow=False, font={"size": 14, "color": theme.GREY}, align="left",
    )  # fmt: skip
    figure.update_layout(template="miscope", height=130, margin={"t": 60, "b": 20, "l": 20})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return _bytes(figure)


def _bytes(figure: go.Figure) -> str:
    return canonical_json(json.loads(figure.to_json()))
