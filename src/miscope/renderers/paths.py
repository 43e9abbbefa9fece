"""Points in a plane or a space, and the paths that lead through them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from miscope.instrument import Table
from miscope.renderers import theme
from miscope.renderers.frame import Frame, Margins, Renderer, color_axis, finish, span, title
from miscope.renderers.lines import groups

CYCLIC = "Phase"


def path(x: str, y: str, color: str = "step", *, titles: Mapping[str, str] | None = None) -> Renderer:
    """One path in the plane, in the order of the rows, coloured by time; its start, end and present are marked."""

    def draw(table: Table, frame: Frame) -> go.Figure:
        data = table.data
        kind = go.Scattergl if len(data) > 5000 else go.Scatter
        figure = go.Figure(
            kind(
                x=data[x].to_numpy(), y=data[y].to_numpy(), mode="lines+markers", line={"color": theme.PALE},
                marker={"color": data[color].to_numpy(), "size": 7, "coloraxis": "coloraxis"}, showlegend=False,
                customdata=data[color].to_numpy(), hovertemplate=_hover(table, x, y, color),
            )
        )  # fmt: skip
        for name, i, look in _moments(data, color, frame):
            figure.add_scatter(
                x=[data[x].iloc[i]], y=[data[y].iloc[i]], mode="markers", hoverinfo="skip", name=name, showlegend=True,
                marker=look | {"size": 13, "line": {"width": 2}},
            )  # fmt: skip
        _name_axes(figure, table, x, y)
        figure.update_layout(coloraxis=_time_axis(data, color))
        return finish(figure, table, frame, plot_height=400, margins=Margins(right=90))

    return Renderer(draw, titles)


def path_3d(x: str, y: str, z: str, color: str = "step", *, titles: Mapping[str, str] | None = None) -> Renderer:
    """One path in space, in the order of the rows; it can be turned with the mouse."""

    def draw(table: Table, frame: Frame) -> go.Figure:
        data, columns = table.data, {"x": x, "y": y, "z": z}
        figure = go.Figure(
            go.Scatter3d(
                **{axis: data[c].to_numpy() for axis, c in columns.items()}, mode="lines+markers", showlegend=False,
                line={"color": "#AAAAAA", "width": 3}, customdata=data[color].to_numpy(),
                marker={"color": data[color].to_numpy(), "size": 4, "coloraxis": "coloraxis"},
                hovertemplate=_hover(table, x, y, color, f"<br>{title(table, z)}: %{{z:.4g}}"),
            )
        )  # fmt: skip
        for name, i, look in _moments(data, color, frame):
            at = {axis: [data[c].iloc[i]] for axis, c in columns.items()}
            figure.add_scatter3d(**at, mode="markers", marker=look | {"size": 7}, name=name, hoverinfo="skip")
        axes = {
            f"{axis}axis": {"title": {"text": title(table, c), "font": {"size": 12}},
                            "range": list(table.limits.get(c) or span(data[c].to_numpy()))}
            for axis, c in columns.items()
        }  # fmt: skip
        camera = {"eye": {"x": 1.6, "y": -1.8, "z": 1.0}, "center": {"x": 0, "y": 0, "z": -0.12}}
        scene = {**axes, "aspectmode": "cube", "camera": camera}
        figure.update_layout(scene=scene, coloraxis=_time_axis(data, color))
        return finish(figure, table, frame, plot_height=440, margins=Margins(right=90, left=10, bottom=16))

    return Renderer(draw, titles)


def points(
    x: str, y: str, color: str, label: str, *, group: str | None = None, titles: Mapping[str, str] | None = None
) -> Renderer:
    """One point per row on axes of equal scale, coloured by a number; `label` is shown on hover.

    With `group`, one line for each of its values, in the order of the rows: only the ends have a marker, hollow at the
    start, full at the end.
    """

    def draw(table: Table, frame: Frame) -> go.Figure:
        data, figure = table.data, go.Figure()
        low, high = float(data[color].min()), float(data[color].max())
        bounds = table.limits.get(color) or (low, high if high > low else low + 1)
        for name, part in groups(data, group) if group else ():
            share = (float(part[color].iloc[0]) - bounds[0]) / (bounds[1] - bounds[0])
            hue = sample_colorscale(CYCLIC, float(np.clip(share, 0, 1)))[0]
            figure.add_scatter(
                x=part[x].to_numpy(), y=part[y].to_numpy(), mode="lines", line={"color": hue, "width": 1},
                opacity=0.5, name=str(name), showlegend=False, hoverinfo="skip",
            )  # fmt: skip
        parts = data.groupby(group, sort=False, observed=True) if group else None
        ends = ((data, "circle"),) if parts is None else ((parts.tail(1), "circle"), (parts.head(1), "circle-open"))
        for shown, symbol in ends:
            figure.add_scatter(
                x=shown[x].to_numpy(), y=shown[y].to_numpy(), mode="markers", showlegend=False,
                marker={"color": shown[color].to_numpy(), "coloraxis": "coloraxis", "size": 8, "symbol": symbol},
                customdata=shown[label].astype(str).to_numpy(dtype=object),
                hovertemplate=f"{title(table, label)}: %{{customdata}}<br>%{{x:.4g}}, %{{y:.4g}}<extra></extra>",
            )  # fmt: skip
        _name_axes(figure, table, x, y)
        figure.update_yaxes(scaleanchor="x", constrain="domain")
        figure.update_xaxes(constrain="domain")
        figure.update_layout(coloraxis=color_axis(bounds, CYCLIC, title(table, color), thickness=12))
        return finish(figure, table, frame, plot_height=430, margins=Margins(right=100))

    return Renderer(draw, titles)


def _name_axes(figure: go.Figure, table: Table, x: str, y: str) -> None:
    """Titles and ranges of both axes of a plane."""
    for column, update in ((x, figure.update_xaxes), (y, figure.update_yaxes)):
        bounds = table.limits.get(column) or span(table.data[column].to_numpy())
        update(title_text=title(table, column), range=list(bounds))


def _moments(data: pd.DataFrame, color: str, frame: Frame) -> list[tuple[str, int, dict[str, Any]]]:
    """The start, the end and, where there is one, the current step: name, number of its row, look of its marker."""
    moments = [("start", 0, "circle-open"), ("end", -1, "square")]
    if frame.step is not None:
        moments.append(("now", int(np.argmin(np.abs(data[color].to_numpy() - frame.step))), "diamond-open"))
    return [
        (f"{name}: {color} {data[color].iloc[i]:,}", i,
         {"symbol": symbol, "color": theme.MARK if name == "now" else theme.INK})
        for name, i, symbol in moments
    ]  # fmt: skip


def _hover(table: Table, x: str, y: str, color: str, more: str = "") -> str:
    place = f"{title(table, x)}: %{{x:.4g}}<br>{title(table, y)}: %{{y:.4g}}{more}"
    return f"{color} %{{customdata:,}}<br>{place}<extra></extra>"


def _time_axis(data: pd.DataFrame, color: str) -> dict[str, Any]:
    bounds = int(data[color].min()), int(data[color].max())
    return color_axis(bounds, theme.SEQUENTIAL, color, thickness=12, tickformat=",d")
