"""Bars: side by side or stacked, with the ones that matter named on the plot."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from miscope.instrument import Table
from miscope.renderers import theme
from miscope.renderers.frame import Frame, Margins, Renderer, axis_number, finish, title
from miscope.renderers.lines import add_marks, add_swatches, colors_of, groups

FADED = ("#A9A9A9", "#CFCFCF", "#B9B9B9", "#E0E0E0")
NAMED = 12  # at most so many bars are named
GAP_PX = 24  # between panels


def bars(
    x: str, y: str, color: str | None = None, facet: str | None = None, *, emphasis: str | None = None,
    is_stacked: bool = True, titles: Mapping[str, str] | None = None,
) -> Renderer:  # fmt: skip
    """Bars of `y` over `x`; where `emphasis` is a boolean column, the others are grey and the true ones are named.

    Reference lines are the table's `marks`.
    """

    def draw(table: Table, frame: Frame) -> go.Figure:
        panels = groups(table.data, facet)
        height = 320 if len(panels) == 1 else 160
        figure = make_subplots(
            rows=len(panels), cols=1, shared_xaxes=True,
            vertical_spacing=GAP_PX / (len(panels) * (height + GAP_PX)) if len(panels) > 1 else 0,
            subplot_titles=[str(name) for name, _ in panels] if len(panels) > 1 else None,
        )  # fmt: skip
        figure.update_annotations(font_size=12)
        colors, _ = colors_of(table, color)
        bounds = table.limits.get(y) or (0.0, _tallest(table, x, y, facet, is_stacked) * 1.12)
        for i, (_, part) in enumerate(panels):
            for j, (name, one) in enumerate(groups(part, color)):
                hue = colors.get(name, theme.PALETTE[0])
                faded = FADED[j % len(FADED)]
                shown = [hue if is_it else faded for is_it in one[emphasis]] if emphasis else hue
                figure.add_trace(_bar(one, x, y, name, shown, table), row=i + 1, col=1)
            if emphasis:
                _name_bars(figure, part, x, y, emphasis, is_stacked, i)
            figure.update_yaxes(title_text=title(table, y), row=i + 1, col=1)
        figure.update_yaxes(range=list(bounds))
        figure.update_xaxes(title_text=title(table, x), row=len(panels), col=1)
        if x in table.limits:
            figure.update_xaxes(range=list(table.limits[x]))
        add_swatches(figure, colors if color != facet and len(colors) > 1 else {})
        figure.update_layout(barmode="stack" if is_stacked else "group")
        right = max(22, add_marks(figure, table, len(panels)))
        margins = Margins(right=right, bottom=_room_below(table.data[x]))
        return finish(figure, table, frame, plot_height=len(panels) * (height + GAP_PX), margins=margins)

    return Renderer(draw, titles)


def _bar(part: pd.DataFrame, x: str, y: str, name: Any, colors: Any, table: Table) -> go.Bar:
    head = "" if name is None else f"{name}<br>"
    hover = f"{head}{title(table, x)}: %{{x}}<br>{title(table, y)}: %{{y:.4g}}<extra></extra>"
    return go.Bar(
        x=(part[x].astype(str) if part[x].dtype.name == "category" else part[x]).to_numpy(),
        y=part[y].to_numpy(dtype=np.float32), name=None if name is None else str(name),
        marker={"color": colors, "line": {"width": 0}}, hovertemplate=hover, showlegend=False,
    )  # fmt: skip


def _tallest(table: Table, x: str, y: str, facet: str | None, is_stacked: bool) -> float:
    keys = [x, *([facet] if facet else [])]
    heights = table.data.groupby(keys, observed=True)[y].sum() if is_stacked else table.data[y]
    return max(float(heights.max()), *(float(v) for v in table.marks.values()), 0.0) or 1.0


def _name_bars(
    figure: go.Figure, part: pd.DataFrame, x: str, y: str, emphasis: str, is_stacked: bool, panel: int
) -> None:
    """Writes the x of each emphasised bar above it; of many, the tallest twelve."""
    chosen = part[part[emphasis].to_numpy(dtype=bool)].groupby(x, observed=True)[y]
    heights = (chosen.sum() if is_stacked else chosen.max()).nlargest(NAMED)
    for at, height in heights.items():
        figure.add_annotation(
            name="named bar", text=str(at), x=at, xref=f"x{axis_number(panel)}", y=float(height),
            yref=f"y{axis_number(panel)}", yanchor="bottom", showarrow=False, font={"size": 12, "color": theme.INK},
        )  # fmt: skip


def _room_below(values: pd.Series) -> int:
    """For the axis of a panel: names that are too long to stand side by side are turned."""
    if pd.api.types.is_numeric_dtype(values):
        return Margins.bottom
    names = set(values.astype(str))
    longest = max(map(len, names))
    return 40 + (7 * longest if len(names) * longest > 60 else 16)
