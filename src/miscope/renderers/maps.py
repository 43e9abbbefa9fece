"""Heat maps: one, or many on one colour scale; by value or by category."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from miscope.instrument import Table
from miscope.renderers import theme
from miscope.renderers.frame import WIDTH, Frame, Margins, Renderer, axis_number, color_axis, finish, step_range, title
from miscope.renderers.lines import PANEL_NAME_PX, add_swatches, colors_of, plain

BAR_PX, ROW_GAP_PX = 52, 30  # room for the horizontal colour bar below the maps; between rows of maps
LETTER_PX, TURN = 6.5, 35  # of a name below a map: the width of a letter, and degrees by which long ones are turned
NARROW = 300  # px of map in the app's two columns; there too names must not run into one another


def heatmap(
    x: str, y: str, color: str, facet: str | None = None, *, titles: Mapping[str, str] | None = None,
    colorscale: str = theme.SEQUENTIAL, is_square: bool = False, columns: int = 4, height: int = 400,
    extra: str | None = None,
) -> Renderer:  # fmt: skip
    """Colour over (x, y); one panel per value of `facet`, all on one scale. Cells without a row stay white.

    `extra` names a column of which there is one value per row of the map, shown on hover.
    """

    def draw(table: Table, frame: Frame) -> go.Figure:
        grid = Grid(table.data, x, y, color, facet)
        n_columns = min(columns, len(grid.panels))
        figure, rows, panel = _map_panels(grid, n_columns, height, is_square)
        custom = _row_values(table.data, y, extra, grid) if extra else None
        figure.add_traces(
            [
                go.Heatmap(
                    x=grid.x, y=grid.y, z=values, coloraxis="coloraxis", customdata=custom, hoverongaps=False,
                    hovertemplate=_hover(table, x, y, color, extra), xaxis=f"x{axis_number(i)}",
                    yaxis=f"y{axis_number(i)}",
                )
                for i, values in enumerate(grid.values)
            ]
        )  # fmt: skip
        bounds = table.limits.get(color) or _finite_range(grid.values, colorscale)
        plot_height, turned = rows * panel + (rows - 1) * ROW_GAP_PX, _room_for_turned_names(grid.x, n_columns)
        name = {"text": title(table, color), "side": "top", "font": {"size": 12}}
        scale = color_axis(
            bounds, colorscale, "", title=name, orientation="h", thickness=10, len=0.6, x=0.5, xanchor="center",
            y=-(50 + turned) / plot_height, yanchor="top", ypad=0,
        )  # fmt: skip
        figure.update_layout(coloraxis=scale)
        _dress(figure, table, x, y, grid, n_columns, is_square)
        if turned:
            figure.update_xaxes(tickangle=-TURN)
        right = _add_bands(figure, table, grid, panel)
        return finish(
            figure, table, frame, plot_height=plot_height, steps=step_range(table, frame, x), columns=n_columns,
            margins=Margins(8 + 22 * (facet is not None), right, bottom=56 + BAR_PX + turned, left=_left(grid)),
            lift=PANEL_NAME_PX if facet is not None and x == "step" else 0,
        )  # fmt: skip

    return Renderer(draw, titles)


def categorical_heatmap(
    x: str, y: str, color: str, *, titles: Mapping[str, str] | None = None, is_square: bool = False,
    height: int = 400, extra: str | None = None, value: str | None = None,
) -> Renderer:  # fmt: skip
    """A map of categories, each in its own colour; the legend lists them unless row bands already name them.

    `value` names a column of numbers to show on hover in place of the category.
    """

    def draw(table: Table, frame: Frame) -> go.Figure:
        data, names = table.data, table.data[color].astype(str)
        colors, _ = colors_of(replace(table, data=data.assign(**{color: names})), color)
        codes = names.map(list(colors).index).to_numpy(dtype=np.float32)
        grid = Grid(data.assign(**{color: codes}), x, y, color)
        figure, _, panel = _map_panels(grid, 1, height, is_square)
        each = np.nan_to_num(grid.values[0], nan=len(colors)).astype(int)
        text = Grid(data, x, y, value).values[0] if value else np.array([*colors, ""], dtype=object)[each]
        figure.add_heatmap(
            x=grid.x, y=grid.y, z=grid.values[0], text=text, hoverongaps=False, showscale=False, zmin=-0.5,
            zmax=max(len(colors), 2) - 0.5, colorscale=_steps_of_color(list(colors.values())),
            customdata=_row_values(data, y, extra, grid) if extra else None,
            hovertemplate=_hover(table, x, y, value or color, extra).replace("%{z:.4g}", "%{text}"),
        )  # fmt: skip
        add_swatches(figure, {} if table.bands else colors)
        _dress(figure, table, x, y, grid, 1, is_square)
        margins = Margins(right=_add_bands(figure, table, grid, panel), left=_left(grid))
        steps = step_range(table, frame, x)
        return finish(figure, table, frame, plot_height=panel, margins=margins, steps=steps)

    return Renderer(draw, titles)


class Grid:
    """A tidy table as arrays [panel, y, x]; NaN where the table has no row."""

    def __init__(self, data: pd.DataFrame, x: str, y: str, color: str, facet: str | None = None) -> None:
        rows, self.y = _codes(data[y])
        cols, self.x = _codes(data[x])
        self.panels: list[Any]
        parts, self.panels = _codes(data[facet]) if facet else (np.zeros(len(data), dtype=int), [None])
        self.values = np.full((len(self.panels), len(self.y), len(self.x)), np.nan, dtype=np.float32)
        self.values[parts, rows, cols] = plain(data[color])


def _codes(column: pd.Series) -> tuple[np.ndarray, list[Any]]:
    """Position of each row along an axis and the axis' values: numbers sorted, names in order of appearance."""
    is_number = pd.api.types.is_numeric_dtype(column)
    codes, values = pd.factorize(column, sort=is_number)
    return codes, [value.item() if is_number else str(value) for value in np.asarray(values)]


def _map_panels(grid: Grid, columns: int, height: int, is_square: bool) -> tuple[go.Figure, int, int]:
    """Empty panels, their number of rows and the height of one in px."""
    n = len(grid.panels)
    rows = -(-n // columns)
    panel = height if n == 1 else int((WIDTH - 90) / columns) if is_square else max(150, height // rows)
    figure = make_subplots(
        rows=rows, cols=columns, shared_xaxes=not is_square, shared_yaxes=not is_square,
        horizontal_spacing=0.03 if columns > 1 else 0,
        vertical_spacing=ROW_GAP_PX / (rows * panel + (rows - 1) * ROW_GAP_PX) if rows > 1 else 0,
        subplot_titles=[str(p) for p in grid.panels] if grid.panels != [None] else None,
    )  # fmt: skip
    figure.update_annotations(font_size=12, yshift=2)
    return figure, rows, panel


def _dress(figure: go.Figure, table: Table, x: str, y: str, grid: Grid, columns: int, is_square: bool) -> None:
    """Names, ticks and proportions of the axes of every panel, in one update: each costs a validation."""
    common_x = {"showgrid": False, "type": "category" if isinstance(grid.x[0], str) else "linear"}
    common_y = {"showgrid": False, "type": "category" if isinstance(grid.y[0], str) else "linear"}
    if isinstance(grid.y[0], str):
        common_y |= {"autorange": "reversed"}
    axes: dict[str, dict[str, Any]] = {}
    for i in range(len(grid.panels)):
        axis, is_low, is_left = axis_number(i), i + columns >= len(grid.panels), i % columns == 0
        x_name = {"title": {"text": title(table, x)}} if is_low else {}
        y_name = {"title": {"text": title(table, y)}} if is_left else {}
        axes[f"xaxis{axis}"] = common_x | x_name | {"showticklabels": is_low}
        axes[f"yaxis{axis}"] = common_y | y_name | {"showticklabels": is_left}
        if is_square:
            axes[f"xaxis{axis}"] |= {"constrain": "domain"}
            axes[f"yaxis{axis}"] |= {"scaleanchor": f"x{axis}", "constrain": "domain", "constraintoward": "middle"}
    figure.update_layout(axes)


def _left(grid: Grid) -> int:
    return max(Margins.left, 34 + 7 * _longest(grid.y))


def _longest(names: list[Any]) -> int:
    """Letters of the longest name on an axis; 0 where it is one of numbers."""
    return max((len(name) for name in names if isinstance(name, str)), default=0)


def _hover(table: Table, x: str, y: str, color: str, extra: str | None) -> str:
    tail = f"<br>{title(table, extra)}: %{{customdata}}" if extra else ""
    place = f"{title(table, x)}: %{{x}}<br>{title(table, y)}: %{{y}}"
    return f"{place}<br>{title(table, color)}: %{{z:.4g}}{tail}<extra></extra>"


def _row_values(data: pd.DataFrame, y: str, extra: str, grid: Grid) -> np.ndarray:
    """The value of `extra` for each row of the map, repeated along it."""
    by_row = data.drop_duplicates(y).sort_values(y)[extra].to_numpy()
    by_row = by_row.astype(np.int32) if by_row.dtype == np.int64 else by_row
    return np.repeat(by_row[:, None], len(grid.x), axis=1)


def _finite_range(values: np.ndarray, colorscale: str) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if colorscale == theme.DIVERGING:
        return -max(abs(low), abs(high)), max(abs(low), abs(high))
    return low, high if high > low else low + 1


def _room_for_turned_names(names: list[Any], columns: int) -> int:
    """Height in px that names below a map take beyond one line, once they are too long to stand side by side."""
    width = _longest(names) * LETTER_PX
    return 0 if width <= NARROW / columns / max(len(names), 1) else round(width * math.sin(math.radians(TURN)))


def _steps_of_color(colors: list[str]) -> list[list[Any]]:
    """A colour scale of equal plateaus."""
    colors = colors if len(colors) > 1 else colors * 2
    edges = np.linspace(0, 1, len(colors) + 1)
    return [[float(edge), hue] for i, hue in enumerate(colors) for edge in edges[i : i + 2]]


def _add_bands(figure: go.Figure, table: Table, grid: Grid, height: int) -> int:
    """Names groups of rows at the right of the map; returns the right margin that they need.

    A group too thin for a line of text is named by its hover only.
    """
    bands = table.bands
    if not bands:
        return 22
    named = [band for band in bands if (band[1] - band[0] + 1) / len(grid.y) * height >= 13]
    line = {"type": "line", "xref": "x domain", "yref": "y", "x0": 0, "x1": 1, "line": {"color": "white", "width": 1}}
    edges = [edge for first, last, _ in named for edge in (first - 0.5, last + 0.5)]
    shapes = [line | {"y0": edge, "y1": edge, "opacity": 0.6} for edge in edges]
    place = {"x": 1, "xref": "paper", "yref": "y", "xanchor": "left", "xshift": 4}
    look = {"name": "band", "showarrow": False, "font": {"size": 12}}
    texts = [place | look | {"text": text, "y": (first + last) / 2} for first, last, text in named]
    figure.update_layout(shapes=[*figure.layout.shapes, *shapes], annotations=[*figure.layout.annotations, *texts])
    return 26 + 7 * max(len(text) for _, _, text in bands)
