"""Points in a plane, on axes of equal scale; those of one group are joined by a line in the order of the rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from miscope.instrument import Table
from miscope.renderers.frame import Frame, Margins, Renderer, finish, limits, span, title
from miscope.renderers.lines import groups

CYCLIC = "Phase"


def points(
    x: str,
    y: str,
    color: str,
    label: str,
    *,
    group: str | None = None,
    titles: Mapping[str, str] | None = None,
    colorscale: str = CYCLIC,
) -> Renderer:
    """One point per row, coloured by a number; `label` is shown on hover.

    With `group`, one line for each of its values: only the ends have a marker, hollow at the start, full at the end.
    """

    def draw(table: Table, frame: Frame) -> go.Figure:
        data = table.data
        figure = go.Figure()
        bounds = limits(table, frame, color) or _range(data[color].to_numpy())
        if group:
            figure.add_traces(_lines(data, (x, y, color, group), bounds, colorscale))
        shown = data.groupby(group, sort=False, observed=True).tail(1) if group else data
        figure.add_trace(_markers(shown, x, y, color, label, title(table, label, titles or {})))
        if group:
            first = data.groupby(group, sort=False, observed=True).head(1)
            figure.add_trace(_markers(first, x, y, color, label, title(table, label, titles or {}), "circle-open"))
        for column, update in ((x, figure.update_xaxes), (y, figure.update_yaxes)):
            ends = limits(table, frame, column) or span(data[column].to_numpy())
            update(title_text=title(table, column, titles or {}), range=list(ends))
        figure.update_yaxes(scaleanchor="x", constrain="domain")
        figure.update_xaxes(constrain="domain")
        figure.update_layout(coloraxis=_color_axis(bounds, colorscale, title(table, color, titles or {})))
        return finish(figure, table, frame, plot_height=430, margins=Margins(right=100))

    return Renderer(draw)


def _range(values: np.ndarray) -> tuple[float, float]:
    low, high = float(np.min(values)), float(np.max(values))
    return low, high if high > low else low + 1


def _lines(
    data: pd.DataFrame, columns: tuple[str, str, str, str], bounds: tuple[float, float], colorscale: str
) -> list[go.Scatter]:
    """One line for each group, in the colour of its first row."""
    x, y, color, group = columns
    traces = []
    for name, part in groups(data, group):
        share = (float(part[color].iloc[0]) - bounds[0]) / (bounds[1] - bounds[0])
        hue = sample_colorscale(colorscale, float(np.clip(share, 0, 1)))[0]
        traces.append(
            go.Scatter(
                x=part[x].to_numpy(), y=part[y].to_numpy(), mode="lines", line={"color": hue, "width": 1},
                opacity=0.5, name=str(name), showlegend=False, hoverinfo="skip",
            )
        )  # fmt: skip
    return traces


def _markers(
    data: pd.DataFrame, x: str, y: str, color: str, label: str, name: str, symbol: str = "circle"
) -> go.Scatter:
    return go.Scatter(
        x=data[x].to_numpy(), y=data[y].to_numpy(), mode="markers", showlegend=False,
        marker={"color": data[color].to_numpy(), "coloraxis": "coloraxis", "size": 8, "symbol": symbol},
        customdata=data[label].astype(str).to_numpy(dtype=object),
        hovertemplate=f"{name}: %{{customdata}}<br>%{{x:.4g}}, %{{y:.4g}}<extra></extra>",
    )  # fmt: skip


def _color_axis(bounds: tuple[float, float], colorscale: str, text: str) -> dict[str, Any]:
    bar = {"title": {"text": text, "font": {"size": 12}}, "tickfont": {"size": 12}, "thickness": 12, "outlinewidth": 0}
    return {"colorscale": colorscale, "cmin": bounds[0], "cmax": bounds[1], "colorbar": bar}
