"""Bars: side by side or stacked, with the ones that matter named on the plot."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from miscope.instrument import Table
from miscope.renderers import theme
from miscope.renderers.frame import Frame, Margins, Renderer, finish, limits, title
from miscope.renderers.lines import add_marks, add_swatches, colors_of, groups

FADED = ("#A9A9A9", "#CFCFCF", "#B9B9B9", "#E0E0E0")
NAMED = 12  # at most so many bars are named


def bars(
    x: str,
    y: str,
    color: str | None = None,
    facet: str | None = None,
    *,
    emphasis: str | None = None,
    label: str = "{x}",
    is_stacked: bool = True,
    log_y: bool = False,
    titles: Mapping[str, str] | None = None,
) -> Renderer:
    """Bars of `y` over `x`; where `emphasis` is a boolean column, the others are grey and the true ones are named.

    Reference lines are the table's `marks`.
    """

    def draw(table: Table, frame: Frame) -> go.Figure:
        panels = groups(table.data, facet)
        figure, height = _panels(panels)
        colors, _ = colors_of(table, color)
        bounds = limits(table, frame, y) or (0.0, _tallest(table, x, y, facet, is_stacked) * 1.12)
        for i, (_, part) in enumerate(panels):
            for j, (name, one) in enumerate(groups(part, color)):
                hue = colors.get(name, theme.PALETTE[0])
                trace = _bar(one, x, y, name, _colors(one, hue, j, emphasis), table, titles or {})
                figure.add_trace(trace, row=i + 1, col=1)
            if emphasis:
                _name_bars(figure, part, x, y, emphasis, label, is_stacked, i)
            figure.update_yaxes(title_text=title(table, y, titles or {}), row=i + 1, col=1)
        figure.update_yaxes(range=list(bounds)) if not log_y else figure.update_yaxes(type="log")
        figure.update_xaxes(title_text=title(table, x, titles or {}), row=len(panels), col=1)
        add_swatches(figure, colors if color != facet and len(colors) > 1 else {})
        room = add_marks(figure, table, len(panels))
        if limits(table, frame, x):
            figure.update_xaxes(range=list(limits(table, frame, x) or ()))
        figure.update_layout(barmode="stack" if is_stacked else "group")
        return finish(
            figure, table, frame, plot_height=len(panels) * (height + 24), margins=_margins(table.data, x, room)
        )

    return Renderer(draw)


def _panels(panels: list[tuple[Any, pd.DataFrame]]) -> tuple[go.Figure, int]:
    n = len(panels)
    height = 320 if n == 1 else 160
    names = [str(name) for name, _ in panels] if n > 1 else None
    figure = make_subplots(
        rows=n, cols=1, shared_xaxes=True, vertical_spacing=24 / (n * (height + 24)) if n > 1 else 0,
        subplot_titles=names,
    )  # fmt: skip
    figure.update_annotations(font_size=12)
    return figure, height


def _bar(part: pd.DataFrame, x: str, y: str, name: Any, colors: Any, table: Table, titles: Mapping[str, str]) -> go.Bar:
    head = "" if name is None else f"{name}<br>"
    hover = f"{head}{title(table, x, titles)}: %{{x}}<br>{title(table, y, titles)}: %{{y:.4g}}<extra></extra>"
    values = part[x].astype(str) if part[x].dtype.name == "category" else part[x]
    return go.Bar(
        x=values.to_numpy(), y=part[y].to_numpy(dtype=np.float32), name=None if name is None else str(name),
        marker={"color": colors, "line": {"width": 0}}, hovertemplate=hover, showlegend=False,
    )  # fmt: skip


def _colors(part: pd.DataFrame, hue: str, position: int, emphasis: str | None) -> Any:
    if emphasis is None:
        return hue
    return [hue if is_it else FADED[position % len(FADED)] for is_it in part[emphasis]]


def _tallest(table: Table, x: str, y: str, facet: str | None, is_stacked: bool) -> float:
    keys = [x, *([facet] if facet else [])]
    data = table.data
    heights = data.groupby(keys, observed=True)[y].sum() if is_stacked else data[y]
    return max(float(heights.max()), *(float(v) for v in table.marks.values()), 0.0) or 1.0


def _name_bars(
    figure: go.Figure, part: pd.DataFrame, x: str, y: str, emphasis: str, label: str, is_stacked: bool, panel: int
) -> None:
    """Writes the x of each emphasised bar above it; of many, the tallest twelve."""
    chosen = part[part[emphasis].to_numpy(dtype=bool)].groupby(x, observed=True)[y]
    heights = (chosen.sum() if is_stacked else chosen.max()).nlargest(NAMED)
    axis = str(panel + 1) if panel else ""
    for at, height in heights.items():
        figure.add_annotation(
            name="named bar", text=label.format(x=at), x=at, xref=f"x{axis}", y=float(height), yref=f"y{axis}",
            yanchor="bottom", showarrow=False, font={"size": 12, "color": theme.INK},
        )  # fmt: skip


def _margins(data: pd.DataFrame, x: str, right: int) -> Margins:
    right = max(22, right)
    if pd.api.types.is_numeric_dtype(data[x]):
        return Margins(right=right)
    names = list(dict.fromkeys(data[x].astype(str)))
    longest = max(map(len, names))
    return Margins(right=right, bottom=40 + (7 * longest if len(names) * longest > 60 else 16))
