"""A view's table as a figure, and as bytes: the one way from numbers to pictures."""

import json
from typing import Any

import plotly.graph_objects as go

from miscope.core import NotApplicable
from miscope.instrument import Table, View
from miscope.keys import canonical_json
from miscope.renderers.frame import Frame, Phases
from miscope.renderers.placeholder import placeholder


def drawn(view: View, table: Table, label: str, step: int | None = None, phases: Phases | None = None) -> go.Figure:
    """The figure of a view's table; `step` is marked on a step axis, or named under the question."""
    return view.draw(table, Frame(question=view.question, subtitle=label, step=step, phases=phases))


def as_json(figure: go.Figure, view: View) -> str:
    """A figure as Plotly JSON whose bytes are stable, with how to read it."""
    figure.update_layout(meta={**(figure.layout.meta or {}), "reading": view.reading})
    return _bytes(figure)


def absent_as_json(view: View, reason: NotApplicable) -> str:
    """What stands in a figure's place where the view does not apply."""
    return _bytes(placeholder(view.question, str(reason)))


def _bytes(figure: Any) -> str:
    return canonical_json(json.loads(figure.to_json()))
