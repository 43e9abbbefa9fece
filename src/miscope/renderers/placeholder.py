"""What stands in the place of a drawing that has nothing to show."""

import textwrap

import plotly.graph_objects as go

from miscope.renderers import theme


def placeholder(question: str, reason: str) -> go.Figure:
    """An empty figure that says why; `layout.meta["absent"]` holds the reason."""
    text = "<br>".join(textwrap.wrap(reason, 80))
    figure = go.Figure(layout={"template": "miscope", "title": {"text": question}, "meta": {"absent": reason}})
    figure.add_annotation(
        text=text, x=0, y=1, xref="paper", yref="paper", xanchor="left", showarrow=False,
        font={"size": 14, "color": theme.GREY}, align="left",
    )  # fmt: skip
    figure.update_layout(height=130, margin={"t": 60, "b": 20, "l": 20})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure
