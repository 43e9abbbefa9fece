"""Several drawings of one view: on common axes and one colour scale, and as an animation."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

FRAME_MS = 250  # how long a frame of an animation stands
MOVING = ("title", "annotations", "shapes")  # of the layout, what changes from step to step


def on_one_scale(figures: Sequence[go.Figure]) -> list[go.Figure]:
    """The figures with every axis and colour scale widened to hold what each of them shows.

    An axis whose range none of them gives, such as one of categories, is left to itself.
    """
    copies = [go.Figure(figure) for figure in figures]
    for name in [key for key in copies[0].layout.to_plotly_json() if key[:5] in ("xaxis", "yaxis")]:
        spans = [figure.layout[name].range for figure in copies if name in figure.layout]
        if len(spans) == len(copies) and all(spans) and len({figure.layout[name].type for figure in copies}) == 1:
            shared = _widest(spans)
            for figure in copies:
                figure.layout[name].range = shared
    _share_colors(copies)
    return copies


def animation(figures: Sequence[go.Figure], steps: Sequence[int]) -> go.Figure:
    """One figure that plays through others, one for each step, with a slider; axes do not move."""
    if not figures or len(figures) != len(steps):
        raise ValueError(f"{len(figures)} figures for {len(steps)} steps")
    frames = on_one_scale(figures)
    names = [str(step) for step in steps]
    played = go.Figure(frames[-1])
    played.frames = [
        go.Frame(data=figure.data, name=name, layout={key: figure.layout[key] for key in MOVING})
        for figure, name in zip(frames, names, strict=True)
    ]
    bottom = int(played.layout.margin.b)
    played.update_layout(height=int(played.layout.height) + 90, margin={"b": bottom + 90})
    if played.layout.legend.yref == "container":
        played.update_layout(legend={"y": 90 / played.layout.height})
    played.update_layout(sliders=[_slider(names, played)], updatemenus=[_buttons(played)])
    return played


def _widest(spans: Sequence[Sequence[float]]) -> list[float]:
    return [min(float(s[0]) for s in spans), max(float(s[1]) for s in spans)]


def _share_colors(figures: list[go.Figure]) -> None:
    axes = [figure.layout.coloraxis for figure in figures]
    if all(axis.cmin is not None and axis.cmax is not None for axis in axes):
        low, high = _widest([(axis.cmin, axis.cmax) for axis in axes])
        for axis in axes:
            axis.cmin, axis.cmax = low, high


def _slider(names: list[str], figure: go.Figure) -> dict[str, Any]:
    at = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    steps = [{"label": f"{int(name):,}", "method": "animate", "args": [[name], at]} for name in names]
    return {
        "active": len(names) - 1, "steps": steps, "currentvalue": {"prefix": "step ", "font": {"size": 12}},
        "x": 0.2, "len": 0.8, "y": 0, "yanchor": "top", "font": {"size": 10},
        "pad": {"t": int(figure.layout.margin.b) - 84},
    }  # fmt: skip


def _buttons(figure: go.Figure) -> dict[str, Any]:
    play = {"frame": {"duration": FRAME_MS, "redraw": True}, "fromcurrent": True, "transition": {"duration": 0}}
    stop = {"frame": {"duration": 0, "redraw": False}, "mode": "immediate"}
    buttons = [
        {"label": "▶", "method": "animate", "args": [None, play]},
        {"label": "❚❚", "method": "animate", "args": [[None], stop]},
    ]
    return {
        "type": "buttons", "direction": "left", "buttons": buttons, "x": 0, "xanchor": "left", "y": 0,
        "yanchor": "top", "pad": {"t": int(figure.layout.margin.b) - 64}, "showactive": False,
    }  # fmt: skip
