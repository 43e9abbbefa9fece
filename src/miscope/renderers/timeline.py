"""Stretches of time as bars, moments as markers with their names, and sentences below."""

import textwrap

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from miscope.instrument import Table
from miscope.renderers import theme
from miscope.renderers.frame import Frame, Margins, Renderer, finish

WRAP = 84


def timeline(kind: str = "kind", name: str = "name", start: str = "start", end: str = "end") -> Renderer:
    """Rows of kind `phase` are bars, `event` markers, anything else is a sentence written below the axis."""

    def draw(table: Table, frame: Frame) -> go.Figure:
        data = table.data
        phases, events = data[data[kind] == "phase"], data[data[kind] == "event"]
        sentences = data[~data[kind].isin(["phase", "event"])]
        rows = [*(str(n) for n in phases[name]), *(str(n) for n in events[name])]
        figure = go.Figure()
        _add_phases(figure, phases, name, start, end)
        _add_events(figure, events, name, start)
        low, high = float(data[start].min()), float(data[end].max())
        figure.update_xaxes(title_text="step")
        figure.update_yaxes(
            type="category", categoryorder="array", categoryarray=rows[::-1], range=[-0.6, len(rows) - 0.4],
            showgrid=False,
        )  # fmt: skip
        below = [line for text in sentences[name] for line in textwrap.wrap(str(text), WRAP)]
        figure.add_annotation(
            text="<br>".join(below), x=0, xref="paper", y=0, yref="paper", yanchor="top",
            yshift=-52, xanchor="left", xshift=-_left(rows) + 14, showarrow=False, align="left", font={"size": 12},
        )  # fmt: skip
        pad = 0.02 * (high - low)
        return finish(
            figure, table, frame, plot_height=max(3, len(rows)) * 30, is_banded=False,
            steps=(low - pad, high + 6 * pad), margins=Margins(left=_left(rows), bottom=62 + 17 * len(below)),
        )  # fmt: skip

    return Renderer(draw)


def _left(rows: list[str]) -> int:
    return 24 + 7 * max(map(len, rows), default=4)


def _add_phases(figure: go.Figure, phases: pd.DataFrame, name: str, start: str, end: str) -> None:
    figure.add_trace(
        go.Bar(
            y=[str(n) for n in phases[name]], base=phases[start].to_numpy(dtype=float), orientation="h", width=0.62,
            x=(phases[end] - phases[start]).to_numpy(dtype=float), showlegend=False,
            marker={"color": [theme.phase_color(str(n), i) for i, n in enumerate(phases[name])], "opacity": 0.8},
            customdata=np.stack([phases[start], phases[end]], axis=1),
            hovertemplate="%{y}<br>steps %{customdata[0]:,} to %{customdata[1]:,}<extra></extra>",
        )
    )  # fmt: skip


def _add_events(figure: go.Figure, events: pd.DataFrame, name: str, start: str) -> None:
    figure.add_trace(
        go.Scatter(
            x=events[start].to_numpy(dtype=float), y=[str(n) for n in events[name]], mode="markers+text",
            text=[f"{int(s):,}" for s in events[start]], textposition="middle right", textfont={"size": 12},
            marker={"symbol": "diamond", "size": 11, "color": theme.INK}, showlegend=False, cliponaxis=False,
            hovertemplate="%{y}: step %{x:,}<extra></extra>",
        )
    )  # fmt: skip
