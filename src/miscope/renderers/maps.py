"""Heat maps: one, or many on one colour scale; by value or by category."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from miscope.instrument import Table
from miscope.renderers import theme
from miscope.renderers.frame import WIDTH, Frame, Margins, Renderer, finish, limits, step_range, title
from miscope.renderers.lines import PANEL_NAME_PX, add_swatches, colors_of, plain

BAR_PX = 52  # room for the horizontal colour bar below the maps
LETTER_PX, TURN = 6.5, 35  # of a name below a map: the width of a letter, and degrees by which long ones are turned
NARROW = 300  # px of map in the app's two columns; there too names must not run into one another


def heatmap(
    x: str,
    y: str,
    color: str,
    facet: str | None = None,
    *,
    titles: Mapping[str, str] | None = None,
    colorscale: str = theme.SEQUENTIAL,
    is_square: bool = False,
    columns: int = 4,
    height: int = 400,
    extra: str | None = None,
) -> Renderer:
    """Colour over (x, y); one panel per value of `facet`, all on one scale. Cells without a row stay white.

    `extra` names a column of which there is one value per row of the map, shown on hover.
    """

    def draw(table: Table, frame: Frame) -> go.Figure:
        grid = Grid.of(table.data, x, y, color, facet)
        n_columns = min(columns, len(grid.panels))
        figure, rows, panel = _map_panels(grid, n_columns, height, is_square)
        hover = _hover(table, x, y, color, extra, titles or {})
        custom = _row_values(table.data, y, extra, grid) if extra else None
        figure.add_traces(
            [
                go.Heatmap(
                    x=grid.x, y=grid.y, z=values, coloraxis="coloraxis", customdata=custom, hoverongaps=False,
                    hovertemplate=hover, xaxis=f"x{i + 1 if i else ''}", yaxis=f"y{i + 1 if i else ''}",
                )
                for i, values in enumerate(grid.values)
            ]
        )  # fmt: skip
        bounds = limits(table, frame, color) or _finite_range(grid.values, colorscale)
        plot_height = rows * panel + (rows - 1) * 30
        name = title(table, color, titles or {})
        turned = _room_for_turned_names(grid.x, n_columns)
        figure.update_layout(coloraxis=_color_axis(bounds, colorscale, name, plot_height, below=50 + turned))
        _dress(figure, table, x, y, titles or {}, grid, n_columns, is_square)
        if turned:
            figure.update_xaxes(tickangle=-TURN)
        right = _add_bands(figure, table, grid, panel)
        return finish(
            figure, table, frame, plot_height=plot_height,
            margins=Margins(8 + 22 * (facet is not None), right, bottom=56 + BAR_PX + turned, left=_left(grid)),
            steps=step_range(table, frame) if x == "step" else None, columns=n_columns,
            lift=PANEL_NAME_PX if facet is not None and x == "step" else 0,
        )  # fmt: skip

    return Renderer(draw)


def categorical_heatmap(
    x: str,
    y: str,
    color: str,
    *,
    titles: Mapping[str, str] | None = None,
    is_square: bool = False,
    height: int = 400,
    extra: str | None = None,
    value: str | None = None,
) -> Renderer:
    """A map of categories, each in its own colour; the legend lists them unless row bands already name them.

    `value` names a column of numbers to show on hover in place of the category.
    """

    def draw(table: Table, frame: Frame) -> go.Figure:
        data = table.data
        colors, _ = colors_of(replace(table, data=data.assign(**{color: data[color].astype(str)})), color)
        names = list(colors)
        coded = data.assign(**{color: data[color].astype(str).map(names.index).to_numpy(dtype=np.float32)})
        grid = Grid.of(coded, x, y, color, None)
        figure, _, panel = _map_panels(grid, 1, height, is_square)
        custom = _row_values(table.data, y, extra, grid) if extra else None
        hover = _hover(table, x, y, value or color, extra, titles or {}).replace("%{z:.4g}", "%{text}")
        text = _cell_texts(data, x, y, value) if value else _category_texts(grid.values[0], names)
        figure.add_trace(
            go.Heatmap(
                x=grid.x, y=grid.y, z=grid.values[0], text=text, customdata=custom, hovertemplate=hover,
                hoverongaps=False, showscale=False, colorscale=_steps_of_color(list(colors.values())), zmin=-0.5,
                zmax=max(len(names), 2) - 0.5,
            )
        )  # fmt: skip
        add_swatches(figure, {} if table.bands else colors)
        _dress(figure, table, x, y, titles or {}, grid, 1, is_square)
        right = _add_bands(figure, table, grid, panel)
        return finish(
            figure, table, frame, plot_height=panel, margins=Margins(right=right, left=_left(grid)),
            steps=step_range(table, frame) if x == "step" else None,
        )  # fmt: skip

    return Renderer(draw)


class Grid:
    """A tidy table as arrays [panel, y, x]; NaN where the table has no row."""

    def __init__(self, x: list[Any], y: list[Any], panels: list[Any], values: np.ndarray) -> None:
        self.x, self.y, self.panels, self.values = x, y, panels, values

    @classmethod
    def of(cls, data: pd.DataFrame, x: str, y: str, color: str, facet: str | None) -> "Grid":
        rows, row_names = _codes(data[y])
        cols, col_names = _codes(data[x])
        parts, part_names = _codes(data[facet]) if facet else (np.zeros(len(data), dtype=int), [None])
        values = np.full((len(part_names), len(row_names), len(col_names)), np.nan, dtype=np.float32)
        values[parts, rows, cols] = plain(data[color])
        return cls(col_names, row_names, part_names, values)

    @property
    def longest_name(self) -> int:
        return max((len(name) for name in self.y if isinstance(name, str)), default=0)


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
        vertical_spacing=30 / (rows * panel + (rows - 1) * 30) if rows > 1 else 0,
        subplot_titles=[str(p) for p in grid.panels] if grid.panels != [None] else None,
    )  # fmt: skip
    figure.update_annotations(font_size=12, yshift=2)
    return figure, rows, panel


def _dress(
    figure: go.Figure, table: Table, x: str, y: str, titles: Mapping[str, str], grid: Grid, columns: int,
    is_square: bool,
) -> None:  # fmt: skip
    """Names, ticks and proportions of the axes of every panel, in one update: each costs a validation."""
    n = len(grid.panels)
    common_x = {"showgrid": False, "type": "category" if isinstance(grid.x[0], str) else "linear"}
    common_y = {"showgrid": False, "type": "category" if isinstance(grid.y[0], str) else "linear"}
    if isinstance(grid.y[0], str):
        common_y |= {"autorange": "reversed"}
    axes: dict[str, dict[str, Any]] = {}
    for i in range(n):
        axis, is_low, is_left = str(i + 1) if i else "", i + columns >= n, i % columns == 0
        x_name = {"title": {"text": title(table, x, titles)}} if is_low else {}
        y_name = {"title": {"text": title(table, y, titles)}} if is_left else {}
        axes[f"xaxis{axis}"] = common_x | x_name | {"showticklabels": is_low}
        axes[f"yaxis{axis}"] = common_y | y_name | {"showticklabels": is_left}
        if is_square:
            axes[f"xaxis{axis}"] |= {"constrain": "domain"}
            axes[f"yaxis{axis}"] |= {"scaleanchor": f"x{axis}", "constrain": "domain", "constraintoward": "middle"}
    figure.update_layout(axes)


def _left(grid: Grid) -> int:
    return max(Margins().left, 34 + 7 * grid.longest_name)


def _hover(table: Table, x: str, y: str, color: str, extra: str | None, titles: Mapping[str, str]) -> str:
    named = [(title(table, c, titles), v) for c, v in ((x, "%{x}"), (y, "%{y}"), (color, "%{z:.4g}"))]
    tail = f"<br>{title(table, extra, titles)}: %{{customdata}}" if extra else ""
    return "<br>".join(f"{name}: {value}" for name, value in named) + tail + "<extra></extra>"


def _row_values(data: pd.DataFrame, y: str, extra: str, grid: Grid) -> np.ndarray:
    """The value of `extra` for each row of the map, repeated along it."""
    by_row = data.drop_duplicates(y).sort_values(y)[extra].to_numpy()
    by_row = by_row.astype(np.int32) if by_row.dtype == np.int64 else by_row
    return np.repeat(by_row[:, None], len(grid.x), axis=1)


def _category_texts(codes: np.ndarray, names: list[str]) -> np.ndarray:
    return np.array([*names, ""], dtype=object)[np.nan_to_num(codes, nan=len(names)).astype(int)]


def _cell_texts(data: pd.DataFrame, x: str, y: str, value: str) -> np.ndarray:
    return Grid.of(data, x, y, value, None).values[0]


def _finite_range(values: np.ndarray, colorscale: str) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if colorscale == theme.DIVERGING:
        return -max(abs(low), abs(high)), max(abs(low), abs(high))
    return low, high if high > low else low + 1


def _room_for_turned_names(names: Sequence[Any] | np.ndarray, columns: int) -> int:
    """Height in px that names below a map take beyond one line, once they are too long to stand side by side."""
    longest = max((len(name) for name in names if isinstance(name, str)), default=0)
    if longest * LETTER_PX <= NARROW / columns / max(len(names), 1):
        return 0
    return round(longest * LETTER_PX * math.sin(math.radians(TURN)))


def _color_axis(
    bounds: tuple[float, float], colorscale: str, text: str, plot_height: int, below: int = 50
) -> dict[str, Any]:
    """One colour scale for all panels, its bar `below` px under them."""
    bar = {
        "orientation": "h", "thickness": 10, "len": 0.6, "x": 0.5, "xanchor": "center", "y": -below / plot_height,
        "yanchor": "top", "ypad": 0, "outlinewidth": 0, "title": {"text": text, "side": "top", "font": {"size": 12}},
        "tickfont": {"size": 12},
    }  # fmt: skip
    return {"colorscale": colorscale, "cmin": bounds[0], "cmax": bounds[1], "colorbar": bar}


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
    figure.update_layout(
        shapes=[*figure.layout.shapes, *shapes], annotations=[*figure.layout.annotations, *texts]
    )  # fmt: skip
    return 26 + 7 * max(len(text) for _, _, text in bands)
