"""A path through a plane or a space, coloured by time, with its start, its end and the present marked."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from miscope.instrument import Table
from miscope.renderers import theme
from miscope.renderers.frame import Frame, Margins, Renderer, finish, limits, span, title

POINTS = (("start", 0, "circle-open"), ("end", -1, "square"))


def path(x: str, y: str, color: str = "step", *, titles: Mapping[str, str] | None = None) -> Renderer:
    """One path in the plane, in the order of the rows."""

    def draw(table: Table, frame: Frame) -> go.Figure:
        data = table.data
        kind = go.Scattergl if len(data) > 5000 else go.Scatter
        figure = go.Figure(
            kind(
                x=data[x].to_numpy(), y=data[y].to_numpy(), mode="lines+markers", line={"color": theme.PALE},
                marker={"color": data[color].to_numpy(), "size": 7, "coloraxis": "coloraxis"}, showlegend=False,
                customdata=data[color].to_numpy(), hovertemplate=_hover(table, x, y, color, titles or {}),
            )
        )  # fmt: skip
        for name, row, symbol in _points(data, color, frame):
            marker = {"symbol": symbol, "size": 13, "color": theme.MARK if name == "now" else theme.INK,
                      "line": {"width": 2}}  # fmt: skip
            figure.add_trace(
                go.Scatter(
                    x=[data[x].iloc[row]], y=[data[y].iloc[row]], mode="markers", marker=marker, hoverinfo="skip",
                    name=f"{name}: {color} {data[color].iloc[row]:,}", showlegend=True,
                )
            )  # fmt: skip
        for column, update in ((x, figure.update_xaxes), (y, figure.update_yaxes)):
            bounds = limits(table, frame, column) or span(data[column].to_numpy())
            update(title_text=title(table, column, titles or {}), range=list(bounds))
        figure.update_layout(coloraxis=_color_axis(data, color))
        return finish(figure, table, frame, plot_height=400, margins=Margins(right=90))

    return Renderer(draw)


def path_3d(x: str, y: str, z: str, color: str = "step", *, titles: Mapping[str, str] | None = None) -> Renderer:
    """One path in space, in the order of the rows; it can be turned with the mouse."""

    def draw(table: Table, frame: Frame) -> go.Figure:
        data = table.data
        columns = (x, y, z)
        hover = _hover(table, x, y, color, titles or {}).replace(
            "<extra>", f"<br>{title(table, z, titles or {})}: %{{z:.4g}}<extra>"
        )
        xyz = {axis: data[c].to_numpy() for axis, c in zip("xyz", columns, strict=True)}
        figure = go.Figure(
            go.Scatter3d(
                **xyz, mode="lines+markers", line={"color": "#AAAAAA", "width": 3}, showlegend=False,
                marker={"color": data[color].to_numpy(), "size": 4, "coloraxis": "coloraxis"},
                customdata=data[color].to_numpy(), hovertemplate=hover,
            )
        )  # fmt: skip
        for name, row, symbol in _points(data, color, frame):
            at = {axis: [data[c].iloc[row]] for axis, c in zip("xyz", columns, strict=True)}
            marker = {"symbol": symbol, "size": 7, "color": theme.MARK if name == "now" else theme.INK}
            text = f"{name}: {color} {data[color].iloc[row]:,}"
            figure.add_trace(go.Scatter3d(**at, mode="markers", marker=marker, name=text, hoverinfo="skip"))
        axes = {
            f"{axis}axis": {"title": {"text": title(table, c, titles or {}), "font": {"size": 12}},
                            "range": list(limits(table, frame, c) or span(data[c].to_numpy()))}
            for axis, c in zip("xyz", columns, strict=True)
        }  # fmt: skip
        camera = {"eye": {"x": 1.6, "y": -1.8, "z": 1.0}, "center": {"x": 0, "y": 0, "z": -0.12}}
        scene = {**axes, "aspectmode": "cube", "camera": camera}
        figure.update_layout(scene=scene, coloraxis=_color_axis(data, color))
        return finish(figure, table, frame, plot_height=440, margins=Margins(right=90, left=10, bottom=16))

    return Renderer(draw)


def _points(data: pd.DataFrame, color: str, frame: Frame) -> list[tuple[str, int, str]]:
    """The start, the end and, where the path has it, the current step: name, row, symbol."""
    points = list(POINTS)
    if frame.step is not None:
        nearest = int(np.argmin(np.abs(data[color].to_numpy() - frame.step)))
        points.append(("now", nearest, "diamond-open"))
    return points


def _hover(table: Table, x: str, y: str, color: str, titles: Mapping[str, str]) -> str:
    named = f"{title(table, x, titles)}: %{{x:.4g}}<br>{title(table, y, titles)}: %{{y:.4g}}"
    return f"{color} %{{customdata:,}}<br>{named}<extra></extra>"


def _color_axis(data: pd.DataFrame, color: str) -> dict[str, Any]:
    bar = {"title": {"text": color, "font": {"size": 12}}, "tickfont": {"size": 12}, "thickness": 12, "outlinewidth": 0,
           "tickformat": ",d"}  # fmt: skip
    return {"colorscale": theme.SEQUENTIAL, "cmin": int(data[color].min()), "cmax": int(data[color].max()),
            "colorbar": bar}  # fmt: skip
