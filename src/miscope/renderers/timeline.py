"""Stretches of time as bars, moments as markers with their names, and sentences below."""

import textwrap
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

from miscope.instrument import Table
from miscope.renderers import theme
from miscope.renderers.frame import Frame, Margins, Renderer, finish

WRAP = 84


def timeline() -> Renderer:
    """Rows (kind, name, start, end): of kind `phase` they are bars, `event` markers, else sentences below the axis."""

    def draw(table: Table, frame: Frame) -> go.Figure:
        data = table.data
        phases, events = data[data["kind"] == "phase"], data[data["kind"] == "event"]
        rows = [str(name) for name in [*phases["name"], *events["name"]]]
        figure = go.Figure()
        figure.add_bar(
            y=rows[: len(phases)], base=phases["start"].to_numpy(dtype=float), orientation="h", width=0.62,
            x=(phases["end"] - phases["start"]).to_numpy(dtype=float), showlegend=False,
            marker={"color": [theme.phase_color(name, i) for i, name in enumerate(rows[: len(phases)])],
                    "opacity": 0.8},
            customdata=np.stack([phases["start"], phases["end"]], axis=1),
            hovertemplate="%{y}<br>steps %{customdata[0]:,} to %{customdata[1]:,}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=events["start"].to_numpy(dtype=float), y=rows[len(phases) :], mode="markers+text",
            text=[f"{int(s):,}" for s in events["start"]], textposition="middle right", textfont={"size": 12},
            marker={"symbol": "diamond", "size": 11, "color": theme.INK}, showlegend=False, cliponaxis=False,
            hovertemplate="%{y}: step %{x:,}<extra></extra>",
        )  # fmt: skip
        figure.update_xaxes(title_text="step")
        figure.update_yaxes(
            type="category", categoryorder="array", categoryarray=rows[::-1], range=[-0.6, len(rows) - 0.4],
            showgrid=False,
        )  # fmt: skip
        sentences = data["name"][~data["kind"].isin(["phase", "event"])]
        below = [line for text in sentences for line in textwrap.wrap(str(text), WRAP)]
        left = 24 + 7 * max(map(len, rows), default=4)
        figure.add_annotation(
            text="<br>".join(below), x=0, xref="paper", y=0, yref="paper", yanchor="top",
            yshift=-52, xanchor="left", xshift=14 - left, showarrow=False, align="left", font={"size": 12},
        )  # fmt: skip
        low, high = float(data["start"].min()), float(data["end"].max())
        pad = 0.02 * (high - low)
        return finish(
            figure, table, replace(frame, phases=None), plot_height=max(3, len(rows)) * 30,
            steps=(low - pad, high + 6 * pad), margins=Margins(left=left, bottom=62 + 17 * len(below)),
        )  # fmt: skip

    return Renderer(draw)
