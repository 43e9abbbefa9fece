"""What surrounds every drawing: the question, the variant and step, the verdict on chance, phase bands, the step."""

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import plotly.graph_objects as go

from miscope.instrument import Table
from miscope.renderers import theme

WIDTH = 600  # px: the narrowest width at which everything must be legible


@runtime_checkable
class Phases(Protocol):
    """Stretches of training with names; the Output of the classifier of phases is one."""

    phase: tuple[str, ...]
    phase_start: np.ndarray
    phase_end: np.ndarray


@dataclass(frozen=True)
class Frame:
    """What a drawing needs beside its table."""

    question: str
    subtitle: str = ""  # the variant's label
    step: int | None = None
    phases: Phases | None = None
    limits: Mapping[str, tuple[float, float]] | None = None
    has_log_steps: bool = False


@dataclass(frozen=True)
class Renderer:
    """Draws a table: a pure function that knows no instrument."""

    draw: Callable[[Table, Frame], go.Figure]
    titles: Mapping[str, str] | None = None  # column -> axis title, where the table gives none
    is_overlaid: bool = False  # whether the rows of several variants are drawn over each other

    def __call__(self, table: Table, frame: Frame) -> go.Figure:
        """The drawing of the table, with this renderer's titles; ranges that the frame locks go before the table's."""
        locked = {**table.limits, **(frame.limits or {})}
        limits = {column: (float(low), float(high)) for column, (low, high) in locked.items()}
        return self.draw(replace(table, titles={**(self.titles or {}), **table.titles}, limits=limits), frame)


@dataclass(frozen=True)
class Margins:
    """Room around the plot area in px; the header's own room is added above `top`."""

    top: int = 8
    right: int = 22
    bottom: int = 52
    left: int = 68


def title(table: Table, column: str) -> str:
    """The title of a column's axis; its name in words, if none was given."""
    return table.titles.get(column) or column.replace("_", " ")


def axis_number(panel: int) -> str:
    """What Plotly puts after the `x` and `y` of a panel's axes: nothing, 2, 3, ..."""
    return str(panel + 1) if panel else ""


def span(values: np.ndarray, is_log: bool = False) -> tuple[float, float]:
    """A range around finite values with 5 % to spare, in data units."""
    x = np.asarray(values, dtype=np.float64)
    x = x[np.isfinite(x) & ((x > 0) | (not is_log))]
    if not len(x):
        return (0.1, 1.0) if is_log else (0.0, 1.0)
    x = np.log10(x) if is_log else x
    low, high = float(x.min()), float(x.max())
    pad = 0.05 * (high - low) or 0.05 * (abs(high) or 1.0)
    return (10 ** (low - pad), 10 ** (high + pad)) if is_log else (low - pad, high + pad)


def axis_range(bounds: tuple[float, float], is_log: bool) -> list[float]:
    return [float(np.log10(b)) for b in bounds] if is_log else [float(b) for b in bounds]


def step_range(table: Table, frame: Frame, x: str) -> tuple[float, float] | None:
    """Where x is the step, its range: locked, or the whole of training as far as the phases or the table tell."""
    if x != "step":
        return None
    if "step" in table.limits:
        return table.limits["step"]
    ends = [float(s) for s in (table.data["step"].min(), table.data["step"].max())] if len(table.data) else []
    if frame.phases is not None and len(frame.phases.phase_start):
        ends += [float(min(frame.phases.phase_start)), float(max(frame.phases.phase_end))]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    return low, high if high > low else low + 1


def color_axis(bounds: tuple[float, float], colorscale: str, text: str, **bar: Any) -> dict[str, Any]:
    """A colour scale over `bounds`, its bar named by `text`."""
    look = {"title": {"text": text, "font": {"size": 12}}, "tickfont": {"size": 12}, "outlinewidth": 0}
    return {"colorscale": colorscale, "cmin": bounds[0], "cmax": bounds[1], "colorbar": look | bar}


def log_ticks(bounds: tuple[float, float]) -> dict[str, Any]:
    """Ticks at whole decades where the axis spans at least one and a half."""
    low, high = axis_range(bounds, True)
    return {"dtick": max(1, round((high - low) / 6))} if high - low >= 1.5 else {}


def finish(
    figure: go.Figure, table: Table, frame: Frame, *, plot_height: int, margins: Margins | None = None,
    steps: tuple[float, float] | None = None, columns: int = 1, lift: int = 0,
) -> go.Figure:  # fmt: skip
    """The figure with its header, margins and, where `steps` is the range of a step axis, phases and current step.

    `lift` is the room in px that the names of the top panels take below the strip of phases.
    """
    margins = margins or Margins()
    header, text = _header(table, frame, shows_step=steps is None)
    if steps and frame.has_log_steps:
        steps = max(steps[0], 1), max(steps[1], 2)
    strip = _add_phases(figure, frame, steps, columns, margins, lift) if steps else 0
    if steps:
        _add_step_axis(figure, frame, steps)
    names = [trace.name for trace in figure.data if trace.showlegend is not False and trace.name]
    top, bottom = header + strip + lift + margins.top, margins.bottom + 22 * legend_rows(names)
    height = top + plot_height + bottom
    figure.update_layout(
        template="miscope",
        showlegend=bool(names),
        meta={"null": table.null.sentence if table.null else ""},
        title={"text": text, "x": 0, "xref": "container", "y": 1 - 26 / height, "yref": "container", "yanchor": "top",
               "pad": {"l": 14}},
        margin={"t": top, "r": margins.right, "b": bottom, "l": margins.left},
        height=height,
        legend={"x": 0, "xref": "container", "y": 0, "yref": "container", "yanchor": "bottom", "xanchor": "left"},
    )  # fmt: skip
    return figure


def _header(table: Table, frame: Frame, *, shows_step: bool) -> tuple[int, str]:
    """Height in px and text of the question with the line under it."""
    step = f"step {frame.step:,}" if shows_step and frame.step is not None else ""
    step = step if table.when is None else table.when
    parts = [part for part in (frame.subtitle, step, table.note) if part]
    question = textwrap.wrap(frame.question, 56)
    under = textwrap.wrap(" · ".join(parts), 78)
    null = textwrap.wrap(table.null.sentence.replace(" %", "\u00a0%") if table.null else "", 76)
    if null and ":" in null[0]:
        null[0] = "<b>" + null[0].replace(":", ":</b>", 1)  # the verdict stands out
    lines = [(line, theme.GREY) for line in under] + [(line, theme.INK) for line in null]
    small = "".join(f'<br><span style="font-size:12px;color:{color}">{line}</span>' for line, color in lines)
    return 16 + 23 * len(question) + 19 * len(lines), "<br>".join(question) + small


def legend_rows(names: list[str]) -> int:
    """How many rows a legend takes at the narrowest width."""
    longest = 7 * max(map(len, names), default=0) + 46
    return -(-len(names) // max(1, (WIDTH - 20) // longest))


# ---------------------------------------------------------------- step axes


def _add_step_axis(figure: go.Figure, frame: Frame, steps: tuple[float, float]) -> None:
    """Ticks, and a line at the current step through every panel."""
    if frame.has_log_steps:
        figure.update_xaxes(type="log", range=axis_range(steps, True), dtick=1)
    else:
        figure.update_xaxes(range=list(steps), tickformat=",d", nticks=7)
    if frame.step is None:
        return
    at = max(frame.step, 1) if frame.has_log_steps else frame.step
    halo, line = {"color": "white", "width": 3}, {"color": theme.MARK, "width": 1.5, "dash": "dot"}
    for x, y in _panels(figure):
        for name, style, opacity in (("halo", halo, 0.6), ("current step", line, 1)):
            figure.add_shape(
                name=name, type="line", xref=x, yref=f"{y} domain", x0=at, x1=at, y0=0, y1=1, line=style,
                opacity=opacity,
            )  # fmt: skip


def _add_phases(
    figure: go.Figure, frame: Frame, steps: tuple[float, float], columns: int, margins: Margins, lift: int
) -> int:
    """Draws muted bands with a labelled strip above the top panels; returns the strip's height in px."""
    bands = _visible_phases(frame, steps)
    if not bands:
        return 0
    width = (WIDTH - margins.left - margins.right) / columns * (0.9 if columns > 1 else 1)
    rows = 0
    for i, (x, y) in enumerate(_panels(figure)):
        for name, start, end, color in bands:
            figure.add_shape(
                name=f"phase {name}", type="rect", xref=x, yref=f"{y} domain", x0=start, x1=end, y0=0, y1=1,
                fillcolor=color, opacity=0.09, line_width=0, layer="below",
            )  # fmt: skip
        if i < columns:
            rows = max(rows, _add_strip(figure, frame, bands, steps, width, lift, x, y))
    return 12 + 15 * rows


def _visible_phases(frame: Frame, steps: tuple[float, float]) -> list[tuple[str, float, float, str]]:
    """Name, start, end and colour of each phase inside the step axis."""
    if frame.phases is None:
        return []
    named = enumerate(zip(frame.phases.phase, frame.phases.phase_start, frame.phases.phase_end, strict=True))
    clipped = [
        (str(name), max(float(start), steps[0]), min(float(end), steps[1]), theme.phase_color(str(name), i))
        for i, (name, start, end) in named
    ]
    return [band for band in clipped if band[1] < band[2]]


def _add_strip(
    figure: go.Figure, frame: Frame, bands: list[Any], steps: tuple[float, float], width: float, lift: int,
    x: str, y: str,
) -> int:  # fmt: skip
    """A coloured strip above one panel and its labels, dodged onto at most two rows; returns the rows used."""
    ends, used = [-np.inf, -np.inf], 0
    scale = np.log10 if frame.has_log_steps else float
    low, high = (float(scale(s)) for s in steps)
    for name, start, end, color in bands:
        figure.add_shape(
            name="phase strip", type="rect", xref=x, yref=f"{y} domain", x0=start, x1=end, ysizemode="pixel",
            yanchor=1, y0=3 + lift, y1=9 + lift, fillcolor=color, opacity=0.75, line_width=0,
        )  # fmt: skip
        text, size = name.replace("_", " "), 6.0 * len(name)
        middle = (float(scale(start)) + float(scale(end))) / 2
        left = np.clip((middle - low) / (high - low) * width - size / 2, 0, max(0, width - size))
        row = next((r for r in (0, 1) if left >= ends[r] + 6), None)
        if row is None:
            continue
        ends[row], used = left + size, max(used, row + 1)
        figure.add_annotation(
            name="phase label", text=text, xref=f"{x} domain", x=left / width, xanchor="left", yref=f"{y} domain",
            y=1, yanchor="bottom", yshift=9 + lift + 14 * row, showarrow=False, font={"size": 11, "color": color},
        )  # fmt: skip
    return used


def _panels(figure: go.Figure) -> list[tuple[str, str]]:
    """Axis ids of the panels in the order in which they were drawn."""
    flat = [trace for trace in figure.data if "xaxis" in trace]
    return list(dict.fromkeys((trace.xaxis or "x", trace.yaxis or "y") for trace in flat)) or [("x", "y")]
