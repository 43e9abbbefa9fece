"""Curves: over training, over anything ordered, and stacked."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from miscope.instrument import Table
from miscope.renderers import theme
from miscope.renderers.frame import (
    Frame,
    Margins,
    Renderer,
    axis_number,
    axis_range,
    finish,
    legend_rows,
    log_ticks,
    span,
    step_range,
    title,
)

AREA_PX, LABEL_PX = 360, 15  # the height of stacked shares, and of a curve's name
VARIANT = "variant"  # the column of a table that holds the rows of several
GAP_PX, PANEL_NAME_PX = 28, 18  # between panels; for a panel's name above it


def lines(
    x: str, y: str, color: str | None = None, facet: str | None = None, *, log_y: bool = False,
    titles: Mapping[str, str] | None = None, labelled: bool = False, columns: int = 1, markers: bool = False,
) -> Renderer:  # fmt: skip
    """One curve per value of `color`, one panel per value of `facet`; `labelled` names curves at their right end.

    So does a legend that would take more than two rows; more than eight numbers become a colour bar. Where the table
    has a column `variant`, several of them lie over each other, told apart by dashes, or by colour where it is free.
    """

    def draw(table: Table, frame: Frame) -> go.Figure:
        panels = groups(table.data, facet)
        n_panels, n_columns, height = len(panels), min(columns, len(panels)), 340 if len(panels) == 1 else 190
        figure = _panels(panels, n_columns, height)
        variants = list(dict.fromkeys(table.data[VARIANT])) if VARIANT in table.data else []
        hue = color or (VARIANT if variants else None)
        named = variants[0] if variants and hue != VARIANT else None  # whose curves stand for all of their colour
        colors, has_bar = colors_of(table, hue)
        is_legend_a_wall = legend_rows([str(name) for name in colors]) > 2
        is_direct = len(colors) > 1 and (labelled or is_legend_a_wall) and not has_bar
        values = np.append(table.data[y].to_numpy(dtype=float), list(table.marks.values()))
        bounds = table.limits.get(y) or span(values, log_y)
        for i, (_, part) in enumerate(panels):
            at = {"row": i // n_columns + 1, "col": i % n_columns + 1}
            for name, curve in groups(part, hue):
                for variant, one in groups(curve, VARIANT if variants else None):
                    dash = theme.DASHES[((variants.index(variant) if variants else 0) + _lap(colors, name)) % 4]
                    line = {"color": colors.get(name, theme.PALETTE[0]), "width": 2, "dash": dash}
                    is_first = i == 0 and named in (None, variant)
                    is_listed = is_first and len(colors) > 1 and not is_direct and not has_bar
                    figure.add_trace(_curve(one, x, y, name, table, line, markers, is_listed), **at)
            figure.update_yaxes(type="log" if log_y else "linear", range=axis_range(bounds, log_y), **at)
            figure.update_yaxes(**(log_ticks(bounds) if log_y else {}), **at)
            if i + n_columns >= n_panels:
                figure.update_xaxes(title_text=title(table, x), showticklabels=True, **at)
            if i % n_columns == 0:
                figure.update_yaxes(title_text=title(table, y), **at)
            if is_direct and (i + 1) % n_columns == 0:
                ends = groups(part if named is None else part[part[VARIANT] == named], hue)
                labels = [(str(name), float(curve[y].iloc[-1]), colors[name]) for name, curve in ends]
                place_labels(figure, labels, bounds, log_y, i, height)
        for i, name in enumerate(variants if named is not None else ()):  # a legend of dashes
            line = {"color": theme.GREY, "width": 2, "dash": theme.DASHES[i % len(theme.DASHES)]}
            figure.add_scatter(x=[None], y=[None], mode="lines", line=line, name=str(name), showlegend=True)
        room = add_marks(figure, table, n_panels, is_margin_free=not is_direct)
        if has_bar:
            _add_color_bar(figure, table, hue or "")
        rows = -(-n_panels // n_columns)
        right = 30 + 7 * max(len(str(name)) for name in colors) if is_direct else 85 if has_bar else 22
        return finish(
            figure, table, frame, plot_height=rows * height + (rows - 1) * GAP_PX, columns=n_columns,
            steps=step_range(table, frame, x), margins=Margins(right=max(right, room)),
            lift=PANEL_NAME_PX if n_panels > 1 else 0,
        )  # fmt: skip

    return Renderer(draw, titles, is_overlaid=True)


def area(x: str, y: str, color: str, *, titles: Mapping[str, str] | None = None) -> Renderer:
    """Stacked shares, each named at its right end; every category has a row at every x."""

    def draw(table: Table, frame: Frame) -> go.Figure:
        (colors, _), figure = colors_of(table, color), _panels([(None, table.data)], 1, AREA_PX)
        parts = [(name, part[x].to_numpy(), part[y].to_numpy(dtype=float)) for name, part in groups(table.data, color)]
        for name, _, share in parts:
            figure.add_scatter(
                x=parts[0][1], y=share, name=str(name), stackgroup="all", mode="lines",
                line={"width": 0.8, "color": "white"}, fillcolor=colors[name], showlegend=False, row=1, col=1,
                hovertemplate=f"{name}: %{{y:.4g}}<br>{title(table, x)} %{{x:,}}<extra></extra>",
            )  # fmt: skip
        ends = zip(parts, np.cumsum([share[-1] for *_, share in parts]), strict=True)
        labels = [(str(name), end - share[-1] / 2, colors[name]) for (name, _, share), end in ends if share[-1] > 0]
        bounds = table.limits.get(y) or (0.0, float(np.sum([share for *_, share in parts], axis=0).max()) or 1.0)
        place_labels(figure, labels, bounds, False, 0, AREA_PX)
        figure.update_yaxes(range=list(bounds), title_text=title(table, y))
        figure.update_xaxes(title_text=title(table, x))
        right = 30 + 7 * max((len(text) for text, _, _ in labels), default=0)
        return finish(
            figure, table, frame, plot_height=AREA_PX, margins=Margins(right=right), steps=step_range(table, frame, x)
        )

    return Renderer(draw, titles)


def groups(data: pd.DataFrame, column: str | None) -> list[tuple[Any, pd.DataFrame]]:
    """The parts of a table by a column's values, in order of first appearance; one part if there is no column."""
    if column is None:
        return [(None, data)]
    return [(name, part) for name, part in data.groupby(column, sort=False, observed=True)] or [(None, data)]


def colors_of(table: Table, column: str | None) -> tuple[dict[Any, str], bool]:
    """A colour for each value of a column, and whether they are too many numbers for anything but a colour bar."""
    names = list(dict.fromkeys(table.data[column])) if column else []
    if len(names) > theme.MAX_LEGEND and pd.api.types.is_numeric_dtype(table.data[column]):
        low, high = min(names), max(names)
        return {n: sample_colorscale(theme.SEQUENTIAL, float((n - low) / (high - low)))[0] for n in names}, True
    fixed = table.colors
    names.sort(key=lambda name: list(fixed).index(name) if name in fixed else len(fixed))
    free = iter(range(len(names)))
    return {n: fixed.get(n) or theme.PALETTE[next(free) % len(theme.PALETTE)] for n in names}, False


def add_swatches(figure: go.Figure, colors: Mapping[Any, str]) -> None:
    """A legend of squares, one for each category."""
    for name, hue in colors.items():
        marker = {"color": hue, "symbol": "square", "size": 11}
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=str(name), showlegend=True)


def place_labels(
    figure: go.Figure, labels: list[tuple[str, float, str]], bounds: tuple[float, float], is_log: bool, panel: int,
    height: int,
) -> None:  # fmt: skip
    """Writes (text, value, colour) at the right end of a panel, pushed apart so that none covers another."""
    low, high = axis_range(bounds, is_log)
    wanted = [((np.log10(max(v, 1e-300)) if is_log else v) - low) / (high - low) for _, v, _ in labels]
    order = np.argsort(wanted, kind="stable")
    placed = _dodge(np.array(wanted)[order], LABEL_PX / height)
    axis = axis_number(panel)
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


def _curve(
    part: pd.DataFrame, x: str, y: str, name: Any, table: Table, line: dict[str, Any], has_markers: bool,
    is_listed: bool,
) -> go.Scatter:  # fmt: skip
    kind = go.Scattergl if len(part) > 5000 else go.Scatter
    head = "" if name is None else f"{name}<br>"
    return kind(
        x=part[x].to_numpy(), y=plain(part[y]), name=None if name is None else str(name), line=line,
        mode="lines+markers" if has_markers or len(part) == 1 else "lines", marker={"size": 5},
        hovertemplate=f"{head}{title(table, y)}: %{{y:.4g}}<br>{title(table, x)}: %{{x:,}}<extra></extra>",
        showlegend=is_listed, legendgroup=str(name),
    )  # fmt: skip


def plain(values: pd.Series) -> np.ndarray:
    """A column as an array that Plotly can encode: half floats and booleans widened."""
    array = values.to_numpy()
    return array.astype(np.float32) if array.dtype in (np.float16, np.bool_) else array


def _lap(colors: dict[Any, str], name: Any) -> int:
    """How often the palette was used up before this category: its curves are dashed so many steps on."""
    return list(colors).index(name) // len(theme.PALETTE) if name in colors and len(colors) <= 40 else 0


def _panels(panels: list[tuple[Any, pd.DataFrame]], columns: int, height: int) -> go.Figure:
    rows = -(-len(panels) // columns)
    figure = make_subplots(
        rows=rows, cols=columns, shared_xaxes=True, shared_yaxes=True, horizontal_spacing=0.04,
        vertical_spacing=GAP_PX / (rows * height + (rows - 1) * GAP_PX) if rows > 1 else 0,
    )  # fmt: skip
    for i, (name, _) in enumerate(panels if len(panels) > 1 else ()):
        figure.add_annotation(
            name="panel", text=f"<b>{name}</b>", x=0, xref=f"x{axis_number(i)} domain", y=1,
            yref=f"y{axis_number(i)} domain", xanchor="left", yanchor="bottom", showarrow=False, font={"size": 12},
        )  # fmt: skip
    return figure


def add_marks(figure: go.Figure, table: Table, n_panels: int, *, is_margin_free: bool = True) -> int:
    """Draws reference lines, named in the right margin if it is free, else above the line's right end.

    What comes back is the width in px that their names need in the margin.
    """
    marks = table.marks
    place = {"xanchor": "left", "xshift": 4} if is_margin_free else {"xanchor": "right", "yanchor": "bottom"}
    for panel in range(n_panels if marks else 0):
        x, y = f"x{axis_number(panel)}", f"y{axis_number(panel)}"
        is_log = figure.layout[f"yaxis{axis_number(panel)}"].type == "log"
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


def _add_color_bar(figure: go.Figure, table: Table, color: str) -> None:
    low, high = float(table.data[color].min()), float(table.data[color].max())
    bar = {"title": {"text": title(table, color)}, "thickness": 12, "outlinewidth": 0}
    marker = {"color": [low, high], "colorscale": theme.SEQUENTIAL, "cmin": low, "cmax": high, "colorbar": bar,
              "showscale": True, "size": 0.1, "opacity": 0}  # fmt: skip
    figure.add_scatter(
        x=[None, None], y=[None, None], mode="markers", marker=marker, showlegend=False, hoverinfo="skip"
    )
