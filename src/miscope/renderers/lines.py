"""Curves: over training, over anything ordered, and stacked."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from miscope.instrument import Table
from miscope.renderers import theme
from miscope.renderers.frame import (
    Frame,
    Margins,
    Renderer,
    axis_range,
    finish,
    legend_rows,
    limits,
    log_ticks,
    span,
    step_range,
    title,
)

LABEL_PX = 15
VARIANT = "variant"  # the column of a table that holds the rows of several
GAP_PX, PANEL_NAME_PX = 28, 18  # between panels; for a panel's name above it


def lines(
    x: str,
    y: str,
    color: str | None = None,
    facet: str | None = None,
    *,
    log_y: bool = False,
    titles: Mapping[str, str] | None = None,
    labelled: bool = False,
    columns: int = 1,
    markers: bool = False,
) -> Renderer:
    """One curve per value of `color`, one panel per value of `facet`; `labelled` names curves at their right end.

    So does a legend that would take more than two rows; more than eight numbers become a colour bar. Where the table
    has a column `variant`, several of them lie over each other, told apart by dashes, or by colour where it is free.
    """
    own_color = color

    def draw(table: Table, frame: Frame) -> go.Figure:
        data = table.data
        kinds = list(dict.fromkeys(data[VARIANT])) if VARIANT in data else []
        color = own_color or (VARIANT if kinds else None)
        panels = groups(data, facet)
        n_columns = min(columns, len(panels))
        figure = _panels(panels, n_columns, height=_panel_height(len(panels)))
        colors, has_bar = colors_of(table, color)
        direct = _is_direct(colors, labelled) and not has_bar
        bounds = limits(table, frame, y) or span(_with_marks(table, y), log_y)
        for i, (_, part) in enumerate(panels):
            at = {"row": i // n_columns + 1, "col": i % n_columns + 1}
            for name, curve in groups(part, color):
                for style, one in groups(curve, VARIANT if kinds else None):
                    hue = colors.get(name, theme.PALETTE[0])
                    trace = _curve(one, x, y, name, hue, table, titles or {}, markers)
                    trace.line.dash = theme.DASHES[((kinds.index(style) if kinds else 0) + _lap(colors, name)) % 4]
                    is_first = i == 0 and style == (kinds[0] if kinds and color != VARIANT else style)
                    trace.showlegend = bool(is_first and len(colors) > 1 and not direct and not has_bar)
                    trace.legendgroup = str(name)
                    figure.add_trace(trace, **at)
            figure.update_yaxes(type="log" if log_y else "linear", range=axis_range(bounds, log_y), **at)
            figure.update_yaxes(**(log_ticks(bounds) if log_y else {}), **at)
            if direct and (i + 1) % n_columns == 0:
                named = part[part[VARIANT] == kinds[0]] if kinds and color != VARIANT else part
                _label_ends(figure, named, x, y, color, colors, bounds, log_y, i, _panel_height(len(panels)))
        if kinds and color != VARIANT:
            _add_dashes(figure, kinds)
        _name_axes(figure, table, x, y, titles or {}, len(panels), n_columns)
        room = add_marks(figure, table, len(panels), is_margin_free=not direct)
        if has_bar:
            _add_color_bar(figure, table, color or "", titles or {})
        rows = -(-len(panels) // n_columns)
        right = 30 + 7 * max(len(str(t)) for t in colors) if direct else 85 if has_bar else 22
        return finish(
            figure, table, frame, plot_height=rows * _panel_height(len(panels)) + (rows - 1) * GAP_PX,
            margins=Margins(right=max(right, room)),
            steps=step_range(table, frame) if x == "step" else None, columns=n_columns,
            lift=PANEL_NAME_PX if len(panels) > 1 else 0,
        )  # fmt: skip

    return Renderer(draw, is_overlaid=True)


def _add_dashes(figure: go.Figure, kinds: list[Any]) -> None:
    """A legend of dashes, one for each variant."""
    for i, name in enumerate(kinds):
        line = {"color": theme.GREY, "width": 2, "dash": theme.DASHES[i % len(theme.DASHES)]}
        figure.add_trace(go.Scatter(x=[None], y=[None], mode="lines", line=line, name=str(name), showlegend=True))


def area(x: str, y: str, color: str, *, titles: Mapping[str, str] | None = None, height: int = 360) -> Renderer:
    """Stacked shares, each named at its right end; every category has a row at every x."""

    def draw(table: Table, frame: Frame) -> go.Figure:
        colors, _ = colors_of(table, color)
        figure = _panels([(None, table.data)], 1, height)
        wide = [(name, part[y].to_numpy(dtype=float)) for name, part in groups(table.data, color)]
        for name, values in wide:
            figure.add_trace(
                go.Scatter(
                    x=groups(table.data, color)[0][1][x].to_numpy(), y=values, name=str(name), stackgroup="all",
                    mode="lines", line={"width": 0.8, "color": "white"}, fillcolor=colors[name], showlegend=False,
                    hovertemplate=f"{name}: %{{y:.4g}}<br>{title(table, x, titles or {})} %{{x:,}}<extra></extra>",
                ),
                row=1, col=1,
            )  # fmt: skip
        ends = np.cumsum([values[-1] for _, values in wide])
        bounds = limits(table, frame, y) or (0.0, float(np.sum([v for _, v in wide], axis=0).max()) or 1.0)
        middles = [e - v[-1] / 2 for e, (_, v) in zip(ends, wide, strict=True)]
        kept = [(str(n), m, colors[n]) for (n, v), m in zip(wide, middles, strict=True) if v[-1] > 0]
        place_labels(figure, kept, bounds, False, 0, height)
        figure.update_yaxes(range=list(bounds), title_text=title(table, y, titles or {}))
        figure.update_xaxes(title_text=title(table, x, titles or {}))
        right = 30 + 7 * max((len(text) for text, _, _ in kept), default=0)
        return finish(
            figure, table, frame, plot_height=height, margins=Margins(right=right),
            steps=step_range(table, frame) if x == "step" else None,
        )  # fmt: skip

    return Renderer(draw)


def groups(data: pd.DataFrame, column: str | None) -> list[tuple[Any, pd.DataFrame]]:
    """The parts of a table by a column's values, in order of first appearance; one part if there is no column."""
    if column is None:
        return [(None, data)]
    return [(name, part) for name, part in data.groupby(column, sort=False, observed=True)] or [(None, data)]


def colors_of(table: Table, column: str | None) -> tuple[dict[Any, str], bool]:
    """A colour for each value of a column, and whether they are too many numbers for anything but a colour bar."""
    names = list(dict.fromkeys(table.data[column])) if column else []
    if len(names) > theme.MAX_LEGEND and pd.api.types.is_numeric_dtype(table.data[column]):
        from plotly.colors import sample_colorscale

        low, high = min(names), max(names)
        return {n: sample_colorscale(theme.SEQUENTIAL, float((n - low) / (high - low)))[0] for n in names}, True
    fixed = table.colors
    names.sort(key=lambda name: list(fixed).index(name) if name in fixed else len(fixed))
    free = iter(range(len(names)))
    return {n: fixed.get(n) or theme.PALETTE[next(free) % len(theme.PALETTE)] for n in names}, False


def _is_direct(colors: Mapping[Any, str], is_wanted: bool) -> bool:
    """Whether curves are named at their ends: when asked for, or where a legend would be a wall."""
    return len(colors) > 1 and (is_wanted or legend_rows([str(name) for name in colors]) > 2)


def add_swatches(figure: go.Figure, colors: Mapping[Any, str]) -> None:
    """A legend of squares, one for each category."""
    for name, hue in colors.items():
        marker = {"color": hue, "symbol": "square", "size": 11}
        figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=str(name), showlegend=True))


def place_labels(
    figure: go.Figure,
    labels: list[tuple[str, float, str]],
    bounds: tuple[float, float],
    is_log: bool,
    panel: int,
    height: int,
) -> None:
    """Writes (text, value, colour) at the right end of a panel, pushed apart so that none covers another."""
    low, high = axis_range(bounds, is_log)
    wanted = [((np.log10(max(v, 1e-300)) if is_log else v) - low) / (high - low) for _, v, _ in labels]
    order = np.argsort(wanted, kind="stable")
    placed = _dodge(np.array(wanted)[order], LABEL_PX / height)
    axis = str(panel + 1) if panel else ""
    for i, at in zip(order, placed, strict=True):
        figure.add_annotation(
            text=labels[i][0], x=1, xref=f"x{axis} domain", y=float(at), yref=f"y{axis} domain", xanchor="left",
            yanchor="middle", xshift=6, showarrow=False, align="left",
            font={"size": 12, "color": theme.GREY if labels[i][2] == theme.PALE else labels[i][2]},
        )  # fmt: skip


def _dodge(wanted: np.ndarray, gap: float) -> np.ndarray:
    """Sorted positions in [0, 1], moved as little as needed for neighbours to be `gap` apart."""
    placed = np.clip(wanted, 0, 1)
    for _ in range(40):
        for i in range(1, len(placed)):
            lack = gap - (placed[i] - placed[i - 1])
            if lack > 1e-9:
                placed[i - 1] -= lack / 2
                placed[i] += lack / 2
    for order, sign in ((range(len(placed)), 1), (range(len(placed) - 1, -1, -1), -1)):
        edge = -gap if sign > 0 else 1 + gap  # from below, then from above: none outside, none too near
        for i in order:
            placed[i] = edge = max(placed[i], edge + gap) if sign > 0 else min(placed[i], edge - gap)
    return placed


def _label_ends(
    figure: go.Figure, part: pd.DataFrame, x: str, y: str, color: str | None, colors: dict[Any, str],
    bounds: tuple[float, float], is_log: bool, panel: int, height: int,
) -> None:  # fmt: skip
    ends = [(str(name), float(curve[y].iloc[-1]), colors[name]) for name, curve in groups(part, color)]
    place_labels(figure, ends, bounds, is_log, panel, height)


def _curve(
    part: pd.DataFrame, x: str, y: str, name: Any, hue: str, table: Table, titles: Mapping[str, str],
    has_markers: bool,
) -> go.Scatter:  # fmt: skip
    kind = go.Scattergl if len(part) > 5000 else go.Scatter
    head = "" if name is None else f"{name}<br>"
    hover = f"{head}{title(table, y, titles)}: %{{y:.4g}}<br>{title(table, x, titles)}: %{{x:,}}<extra></extra>"
    return kind(
        x=part[x].to_numpy(), y=plain(part[y]), name=None if name is None else str(name), hovertemplate=hover,
        mode="lines+markers" if has_markers or len(part) == 1 else "lines", line={"color": hue, "width": 2},
        marker={"size": 5},
    )  # fmt: skip


def plain(values: pd.Series) -> np.ndarray:
    """A column as an array that Plotly can encode: half floats and booleans widened."""
    array = values.to_numpy()
    return array.astype(np.float32) if array.dtype in (np.float16, np.bool_) else array


def _lap(colors: dict[Any, str], name: Any) -> int:
    """How often the palette was used up before this category: its curves are dashed so many steps on."""
    return list(colors).index(name) // len(theme.PALETTE) if name in colors and len(colors) <= 40 else 0


def _panel_height(n_panels: int) -> int:
    return 340 if n_panels == 1 else 190


def _panels(panels: list[tuple[Any, pd.DataFrame]], columns: int, height: int) -> go.Figure:
    rows = -(-len(panels) // columns)
    figure = make_subplots(
        rows=rows, cols=columns, shared_xaxes=True, shared_yaxes=True, horizontal_spacing=0.04,
        vertical_spacing=GAP_PX / (rows * height + (rows - 1) * GAP_PX) if rows > 1 else 0,
    )  # fmt: skip
    for i, (name, _) in enumerate(panels):
        if len(panels) > 1:
            axis = str(i + 1) if i else ""
            figure.add_annotation(
                name="panel", text=f"<b>{name}</b>", x=0, xref=f"x{axis} domain", y=1, yref=f"y{axis} domain",
                xanchor="left", yanchor="bottom", showarrow=False, font={"size": 12},
            )  # fmt: skip
    return figure


def _name_axes(
    figure: go.Figure, table: Table, x: str, y: str, titles: Mapping[str, str], n: int, columns: int
) -> None:
    for i in range(n):
        at = {"row": i // columns + 1, "col": i % columns + 1}
        if i + columns >= n:
            figure.update_xaxes(title_text=title(table, x, titles), showticklabels=True, **at)
        if i % columns == 0:
            figure.update_yaxes(title_text=title(table, y, titles), **at)


def _with_marks(table: Table, y: str) -> np.ndarray:
    return np.append(table.data[y].to_numpy(dtype=float), [float(v) for v in table.marks.values()])


def add_marks(figure: go.Figure, table: Table, n_panels: int, *, is_margin_free: bool = True) -> int:
    """Draws reference lines, named in the right margin if it is free, else above the line's right end.

    What comes back is the width in px that their names need in the margin.
    """
    marks = table.marks
    place = {"xanchor": "left", "xshift": 4} if is_margin_free else {"xanchor": "right", "yanchor": "bottom"}
    for panel in range(n_panels if marks else 0):
        x, y = (f"{axis}{panel + 1 if panel else ''}" for axis in "xy")
        is_log = figure.layout[f"yaxis{panel + 1 if panel else ''}"].type == "log"
        for text, value in marks.items():
            line = {"color": theme.GREY, "width": 1, "dash": "dash"}
            figure.add_shape(
                name="mark", type="line", xref=f"{x} domain", x0=0, x1=1, yref=y, y0=value, y1=value, line=line
            )
            figure.add_annotation(
                name="mark", text=text, xref=f"{x} domain", x=1, yref=y, **place,
                y=math.log10(value) if is_log else value,  # a shape stands at its value, a text at its logarithm
                showarrow=False, font={"size": 12, "color": theme.GREY},
            )  # fmt: skip
    return 8 + 7 * max(map(len, marks)) if marks and is_margin_free else 0


def _add_color_bar(figure: go.Figure, table: Table, color: str, titles: Mapping[str, str]) -> None:
    low, high = float(table.data[color].min()), float(table.data[color].max())
    bar = {"title": {"text": title(table, color, titles)}, "thickness": 12, "outlinewidth": 0}
    marker = {"color": [low, high], "colorscale": theme.SEQUENTIAL, "cmin": low, "cmax": high, "colorbar": bar,
              "showscale": True, "size": 0.1, "opacity": 0}  # fmt: skip
    figure.add_trace(
        go.Scatter(x=[None, None], y=[None, None], mode="markers", marker=marker, showlegend=False, hoverinfo="skip")
    )
