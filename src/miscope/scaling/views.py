"""The pictures of a fit: each a question, a sentence on how to read it, the table that answers it, and its drawing.

A view's table is made from a Fit and its Results. A number that was refused is absent from it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import hex_to_rgb, sample_colorscale

from miscope.core import MiscopeError
from miscope.instrument import Table, View, view
from miscope.renderers import theme
from miscope.renderers.drawn import drawn
from miscope.renderers.frame import Frame, Margins, Renderer, axis_range, finish, log_ticks, span
from miscope.scaling import isoflop as curved
from miscope.scaling.fit import LEVEL, SHAPES, Estimate, Fit, Frontier, Minimum
from miscope.scaling.results import Results

HEIGHT = 400
SURFACE = 60  # cells along each axis of the loss surface
TITLES = {
    "budget": "compute C, FLOPs",
    "parameters": "parameters N",
    "tokens": "tokens D",
    "loss": "held-out loss, nats",
}
DASHES, SYMBOLS = {"parabola": "solid", "akima": "dot"}, {"parabola": "diamond", "akima": "diamond-open"}
STATES = {
    "fitted": (theme.PALETTE[0], "circle"),
    "stands out": (theme.MARK, "x"),
    "left out": (theme.GREY, "circle-open"),
}
NAMED = "<extra>%{fullData.name}</extra>"
OVER_COMPUTE = f"C %{{x:.3g}}<br>%{{y:,.4s}}{NAMED}"


@dataclass(frozen=True)
class Layers(Table):
    """A table, and the tables of what is drawn around it."""

    around: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    headline: str = ""  # the method that has a band
    largest_budget: float = np.inf  # of a run; beyond it all is extrapolated


def views_of(fit: Fit) -> tuple[View, ...]:
    """Every picture that this fit can carry; one that needs a law is left out where the fit refused one."""
    with_law = (loss_against_compute, best_sizes, best_tokens, residuals, surface)
    return (isoflop, *(with_law if fit.law else ()))


def figure_of(chosen: View, fit: Fit, results: Results) -> tuple[pd.DataFrame, go.Figure]:
    """The view's table and its drawing.

    Raises:
        MiscopeError: the fit was made from other runs.
    """
    if fit.provenance.results != results.digest:
        raise MiscopeError(
            f"The fit of `{results.study}` was made from other runs than results.json holds now. "
            f"Run `dvc repro fit@{results.study}`."
        )
    table: Layers = chosen.table(fit, results)
    label = f"{fit.study}, {fit.n_fitted} runs, {fit.headline or 'no law'}"
    return table.data.reset_index(drop=True), drawn(chosen, table, label)


def _layers(draw: Callable[[go.Figure, Layers], None], right: int = 22) -> Renderer:
    """A renderer of what `draw` adds to an empty figure."""

    def drawing(table: Table, frame: Frame) -> go.Figure:
        assert isinstance(table, Layers)
        draw(figure := go.Figure(), table)
        return finish(figure, table, frame, plot_height=HEIGHT, margins=Margins(right=right))

    return Renderer(drawing)


def runs_of(fit: Fit, results: Results) -> pd.DataFrame:
    """One row per run: sizes, loss, the headline's loss, how far off in percent, and whether it counts."""
    states = {run.id: f"stands out: {'; '.join(run.reasons)}" for run in fit.outliers}
    states |= {run.id: f"left out: {run.reason}" for run in fit.set_aside}
    law = fit.law.law if fit.law else None
    predicted = law.loss(results.parameters, results.tokens) if law else np.full(len(results), np.nan)
    return pd.DataFrame({
        "id": results.ids, "budget": results.budget, "parameters": results.parameters, "tokens": results.tokens,
        "loss": results.loss, "predicted": predicted, "off_percent": 100 * (results.loss / predicted - 1),
        "state": [states.get(name, "fitted") for name in results.ids],
    })  # fmt: skip


def minima_of(fit: Fit) -> pd.DataFrame:
    """One row per shape and budget: the best size and tokens with intervals, or why there is none."""
    rows = [
        {"shape": shape, "sizes": at.n_sizes, "refused": str(at.parameters.refusal or ""), **_flat(at)}
        for shape in SHAPES
        for at in fit.isoflop[shape].minima
    ]
    columns = ("shape", "budget", "sizes", *_ends("parameters"), *_ends("tokens"), "loss", "refused")
    return pd.DataFrame(rows, columns=columns)


def frontier_of(fit: Fit, name: str) -> pd.DataFrame:
    """One row per method and budget: `parameters` N*, `tokens` D* or the least `loss`, with its band."""
    rows = [
        {"method": method, "is_extrapolated": at.budget > fit.largest_budget * 1.001, **_flat(at)}
        for method, one in fit.by_method.items()
        for at in one.frontier
    ]
    return pd.DataFrame(rows, columns=["method", "budget", "is_extrapolated", *_ends(name)])


def _flat(answers: Minimum | Frontier) -> dict[str, Any]:
    """The fields by name; of a number with an interval three of them."""
    row: dict[str, Any] = {}
    for name, value in vars(answers).items():
        band = value.band if isinstance(value, Estimate) else value
        row |= dict(zip(_ends(name), band, strict=True)) if isinstance(band, tuple) else {name: value}
    return row


def _ends(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"


def curves_of(fit: Fit, results: Results) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The IsoFLOP curves of the runs that were fitted: their sizes, and points along each shape's line."""
    kept = ~np.isin(np.array(results.ids), [run.id for run in fit.set_aside])
    sizes = [pd.DataFrame({"budget": [], "shape": [], "parameters": [], "loss": []})]
    lines = sizes[:]
    for c in curved.curves(*results.columns(kept)):
        sizes.append(pd.DataFrame({"budget": c.budget, "parameters": c.parameters, "loss": c.loss}))
        x = np.geomspace(c.parameters[0], c.parameters[-1], 60)
        lines += [pd.DataFrame({"budget": c.budget, "shape": shape, "parameters": x, "loss": curved.drawn(c, shape, x)})
                  for shape in SHAPES]  # fmt: skip
    return pd.concat(sizes, ignore_index=True), pd.concat(lines, ignore_index=True)


def _draw_isoflop(figure: go.Figure, table: Layers) -> None:
    runs, sizes, lines = (table.around[name] for name in ("runs", "sizes", "lines"))
    budgets = lines["budget"].unique().tolist()
    shares = np.linspace(0, 0.85, len(budgets)).tolist() if len(budgets) > 1 else [0.3]
    named = (
        range(len(budgets))
        if len(budgets) <= theme.MAX_LEGEND
        else [round(j * (len(budgets) - 1) / 4) for j in range(5)]
    )
    for i, (budget, color) in enumerate(zip(budgets, sample_colorscale(theme.SEQUENTIAL, shares), strict=False)):
        for shape, part in lines[lines["budget"] == budget].groupby("shape", sort=False):
            line = {"color": color, "width": 1.5, "dash": DASHES[shape]}
            _line(figure, part, "parameters", "loss", line, showlegend=False, hoverinfo="skip")
        _dots(figure, sizes[sizes["budget"] == budget], "parameters", "loss", {"color": color, "size": 7},
              f"N %{{x:,}}<br>loss %{{y:.4f}}{NAMED}", name=_flops(budget), showlegend=i in named)  # fmt: skip
    best = table.data.dropna(subset=["parameters"])
    for shape, symbol in SYMBOLS.items():
        marker = {"symbol": symbol, "size": 12, "color": theme.MARK, "line": {"width": 1.5, "color": theme.MARK}}
        hover = f"N* %{{x:,.4s}}<br>loss %{{y:.4f}}{NAMED}"
        _dots(figure, best[best["shape"] == shape], "parameters", "loss", marker, hover, name=f"minimum, {shape}")
    if not budgets:
        _dots(figure, runs, "parameters", "loss", {"size": 6}, showlegend=False)
    _log(figure.update_xaxes, runs["parameters"], TITLES["parameters"])
    _linear(figure, lines["loss"] if budgets else runs["loss"], TITLES["loss"])


@view(
    question="Which size is best at each compute budget?",
    reading="Each colour is one budget. Left of the minimum the model is too small for its data; right of it, it sees "
    "too few tokens. Solid: a parabola; dotted: Akima's curve through the runs. Diamonds mark minima inside the range "
    "of sizes.",
    draw=_layers(_draw_isoflop),
)
def isoflop(fit: Fit, results: Results) -> Layers:
    """Minima of each budget, around them its runs over size and the curves through them."""
    minima, runs, (sizes, lines) = minima_of(fit), runs_of(fit, results), curves_of(fit, results)
    n_refused = int((minima["refused"] != "").sum())
    note = f"{n_refused} of {len(minima)} minima refused" if n_refused else "all minima lie inside"
    note += f"; {fit.n_off_curves} runs lie on no curve" if fit.n_off_curves else ""
    return Layers(minima, note=note, around={"runs": runs[np.isfinite(runs["loss"])], "sizes": sizes, "lines": lines})


def _draw_loss(figure: go.Figure, table: Layers) -> None:
    law, runs = table.data, table.around["runs"]
    _band(figure, law, "loss", theme.PALETTE[0], table.headline)
    marker = {"color": np.log10(runs["parameters"]), "colorscale": theme.SEQUENTIAL, "size": 7,
              "colorbar": _bar("log<sub>10</sub> N")}  # fmt: skip
    hover = "%{customdata[0]}<br>N %{customdata[1]:,.4s}, D %{customdata[2]:,.4s}<br>loss %{y:.4f}<extra></extra>"
    told = runs[["id", "parameters", "tokens"]]
    _dots(figure, runs, "budget", "loss", marker, hover, customdata=told, name="runs", showlegend=False)
    _beyond(figure, table)
    for text, value in table.marks.items():
        note = {"text": text, "font": {"size": 12, "color": theme.GREY}}
        line = {"color": theme.GREY, "width": 1, "dash": "dash"}
        figure.add_hline(y=value, line=line, annotation=note, annotation_position="bottom left")
    _log(figure.update_xaxes, law["budget"], TITLES["budget"])
    _linear(figure, [*law["loss"], *law["loss_low"], *runs["loss"], *table.marks.values()], TITLES["loss"])


@view(
    question="How low does the loss get as compute grows?",
    reading="Dots are runs, lighter for larger models. The line is the lowest loss that the law predicts for a budget; "
    "where it is dashed, in the grey area, it is extrapolated. Runs below the band contradict the law.",
    draw=_layers(_draw_loss, right=90),
)
def loss_against_compute(fit: Fit, results: Results) -> Layers:
    """The least loss that the headline expects at each budget; around it all runs."""
    law, runs = frontier_of(fit, "loss"), runs_of(fit, results)
    marks = {} if fit.entropy is None else {"known entropy": fit.entropy}
    around = {"runs": runs[np.isfinite(runs["loss"])]}
    return _over_compute(fit, law[law["method"] == fit.headline], marks=marks, around=around)


def _over_compute(fit: Fit, data: pd.DataFrame, **more: Any) -> Layers:
    return Layers(data, headline=fit.headline or "", largest_budget=fit.largest_budget, **more)


def _best(leaf: str, name: str, text: str, question: str) -> View:
    """N* or D* by every method, the headline with its band; minima of single budgets with their intervals."""
    value, low, high = _ends(name)

    def draw(figure: go.Figure, table: Layers) -> None:
        rows, minima = table.data, table.around["minima"]
        methods = list(dict.fromkeys([table.headline, *rows["method"]]))
        colors = {method: theme.PALETTE[i % len(theme.PALETTE)] for i, method in enumerate(methods)}
        for method, color in colors.items():
            _band(figure, rows[rows["method"] == method], name, color, method, has_band=method == table.headline)
        for shape, symbol in SYMBOLS.items():
            part, color = minima[minima["shape"] == shape], colors.get(f"IsoFLOP, {shape}", theme.GREY)
            reach = {"type": "data", "symmetric": False, "array": part[high] - part[value],
                     "arrayminus": part[value] - part[low], "color": color, "thickness": 1.2, "width": 3}  # fmt: skip
            marker = {"symbol": symbol, "size": 9, "color": color}
            _dots(figure, part, "budget", name, marker, OVER_COMPUTE, error_y=reach, name=f"{shape}'s minima")
        _beyond(figure, table)
        first = rows[rows["method"] == table.headline]
        _log(figure.update_xaxes, rows["budget"], TITLES["budget"])
        _log(figure.update_yaxes, pd.concat([rows[value], minima[value], first[high], first[low]]), text)

    def table(fit: Fit, results: Results) -> Layers:
        minima, note = minima_of(fit).dropna(subset=["parameters"]), fit.disagreement.sentence
        return _over_compute(fit, frontier_of(fit, name), note=note, around={"minima": minima})

    table.__name__ = leaf
    return View(question, METHODS_READING, table, _layers(draw))


METHODS_READING = (
    f"The band is the {LEVEL:.0%} interval of the method named under the question. The other lines are the other "
    "methods; their distance is the effect of the choice of method. Dashed, in the grey area: extrapolated. Diamonds "
    "are the minima of single budgets."
)
best_sizes = _best("best_sizes", "parameters", "best size N*", "How large should the model be at a compute budget?")
best_tokens = _best("best_tokens", "tokens", "best tokens D*", "How many tokens should it see at a compute budget?")


def _draw_residuals(figure: go.Figure, table: Layers) -> None:
    runs = table.data
    hover = "%{customdata[0]}: %{y:+.2f} %<br>N %{customdata[1]:,.4s}, D %{customdata[2]:,.4s}"
    hover += "<br>%{customdata[3]}<extra></extra>"
    for word, (color, symbol) in STATES.items():
        part = runs[runs["state"].str.startswith(word)]
        if len(part):
            marker, told = {"color": color, "symbol": symbol, "size": 7}, part[["id", "parameters", "tokens", "state"]]
            name = f"{word} ({len(part)})"
            _dots(figure, part, "predicted", "off_percent", marker, hover, customdata=told, name=name)
    figure.add_hline(y=0, line={"color": theme.GREY, "width": 1})
    bounds = list(span(runs["predicted"].to_numpy()))
    figure.update_xaxes(title_text="loss that the law expects, nats", range=bounds)
    _linear(figure, runs["off_percent"], "run's loss above the law's, %")


@view(
    question="Where do the runs differ from the law?",
    reading="If the law fits, the points scatter around 0 without a pattern. A bend, or one end above and the other "
    "below, means that the law has the wrong form or that the runs were not trained alike. Crosses are outliers, which "
    "are part of the fit.",
    draw=_layers(_draw_residuals),
)
def residuals(fit: Fit, results: Results) -> Layers:
    """How far each run lies from the headline's law."""
    runs, rms = runs_of(fit, results), fit.law.rms_log_residual if fit.law else np.nan
    return Layers(runs[np.isfinite(runs["off_percent"])], note=f"root mean square {100 * rms:.2g} %")


def _draw_surface(figure: go.Figure, table: Layers) -> None:
    runs, best = table.around["runs"], table.around["best"]
    grid = table.data.pivot(index="tokens", columns="parameters", values="loss")
    figure.add_contour(
        x=grid.columns, y=grid.index, z=grid.to_numpy(), colorscale=theme.SEQUENTIAL, reversescale=True, ncontours=24,
        line={"width": 0.5, "color": "white"}, colorbar=_bar("loss, nats"),
        hovertemplate="N %{x:,.3s}, D %{y:,.3s}<br>loss %{z:.4f}<extra></extra>",
    )  # fmt: skip
    marker = {"color": "white", "size": 6, "line": {"color": theme.INK, "width": 1}}
    hover, told = "%{customdata[0]}<br>loss %{customdata[1]:.4f}<extra></extra>", runs[["id", "loss"]]
    _dots(figure, runs, "parameters", "tokens", marker, hover, customdata=told, name="runs")
    line = {"color": theme.MARK, "width": 2}
    _line(figure, best, "parameters", "tokens", line, name="best split", hoverinfo="skip")
    for update, axis in ((figure.update_xaxes, grid.columns), (figure.update_yaxes, grid.index)):
        _log_axis(update, (float(axis[0]), float(axis[-1])), TITLES[axis.name])


@view(
    question="Where on the loss surface did the runs lie?",
    reading="The colour is the loss that the law predicts; the red line is the best split of a budget into size and "
    "data. The law is reliable where there are runs: where the line leaves them, it is a guess.",
    draw=_layers(_draw_surface, right=90),
)
def surface(fit: Fit, results: Results) -> Layers:
    """The headline's loss over sizes and tokens, half a decade beyond the runs; the runs, and the best split."""
    assert fit.law is not None  # `views_of` names this picture only where there is one
    law, k = fit.law.law, fit.flops_per_parameter_token
    axes = [np.geomspace(v.min() / 3, v.max() * 3, SURFACE) for v in (results.parameters, results.tokens)]
    sizes, tokens = (v.ravel() for v in np.meshgrid(*axes))
    budgets = np.geomspace(results.budget.min() / 10, results.budget.max() * 10, 60)
    best = pd.DataFrame({"parameters": law.best_parameters(budgets, k), "tokens": law.best_tokens(budgets, k)})
    table = pd.DataFrame({"parameters": sizes, "tokens": tokens, "loss": law.loss(sizes, tokens)})
    return Layers(table, around={"runs": runs_of(fit, results), "best": best})


def _dots(
    figure: go.Figure, part: pd.DataFrame, x: str, y: str, marker: dict[str, Any], hover: str | None = None, **more: Any
) -> None:
    figure.add_scatter(x=part[x], y=part[y], mode="markers", marker=marker, hovertemplate=hover, **more)


def _line(figure: go.Figure, part: pd.DataFrame, x: str, y: str, line: dict[str, Any], **more: Any) -> None:
    figure.add_scatter(x=part[x], y=part[y], mode="lines", line=line, **more)


def _band(figure: go.Figure, part: pd.DataFrame, name: str, color: str, label: str, *, has_band: bool = True) -> None:
    """A line, solid where runs are and dashed beyond, with its interval behind it."""
    value, low, high = _ends(name)
    if has_band and part[low].notna().any():
        ends = part.dropna(subset=[low, high])
        up, down = ({"budget": ends["budget"][::way], name: ends[end][::way]} for end, way in ((high, 1), (low, -1)))
        there_and_back = pd.concat([pd.DataFrame(up), pd.DataFrame(down)])
        pale = f"rgba({','.join(map(str, hex_to_rgb(color)))},0.18)"
        outline = {"fill": "toself", "fillcolor": pale, "showlegend": False, "hoverinfo": "skip"}
        _line(figure, there_and_back, "budget", name, {"width": 0}, **outline)
    is_beyond = part["is_extrapolated"].astype(bool)
    inside = part[~is_beyond]
    for rows, dash in ((inside, "solid"), (pd.concat([inside.tail(1), part[is_beyond]]), "dash")):
        line = {"color": color, "width": 2, "dash": dash}
        _line(figure, rows, "budget", value, line, name=label, showlegend=dash == "solid", legendgroup=label,
              hovertemplate=OVER_COMPUTE)  # fmt: skip


def _beyond(figure: go.Figure, table: Layers) -> None:
    """A grey field over budgets larger than any run's."""
    figure.add_vrect(
        x0=table.largest_budget, x1=table.data["budget"].max(), fillcolor=theme.PALE, opacity=0.35, line_width=0,
        layer="below", annotation={"text": "extrapolated", "font": {"size": 12, "color": theme.GREY}},
        annotation_position="top left",
    )  # fmt: skip


def _log(update: Callable[..., Any], values: pd.Series, text: str) -> None:
    _log_axis(update, span(np.asarray(values, dtype=np.float64), is_log=True), text)


def _log_axis(update: Callable[..., Any], bounds: tuple[float, float], text: str) -> None:
    """Ticks at whole decades on a long axis; at 1, 2 and 5 of each on a short one."""
    ticks = log_ticks(bounds) if bounds[1] / bounds[0] > 10**3.5 else {"dtick": "D2"}
    update(type="log", range=axis_range(bounds, True), title_text=text, **ticks)


def _linear(figure: go.Figure, values: Sequence[float] | pd.Series, text: str) -> None:
    figure.update_yaxes(range=list(span(np.asarray(values, dtype=np.float64))), title_text=text)


def _bar(text: str) -> dict[str, Any]:
    return {"title": {"text": text, "font": {"size": 12}}, "thickness": 12, "outlinewidth": 0}


def _flops(value: float) -> str:
    mantissa, exponent = f"{value:.2e}".split("e")
    number = f"{float(mantissa):g}"
    return f"{'' if number == '1' else number + '×'}10<sup>{int(exponent)}</sup> FLOPs"
