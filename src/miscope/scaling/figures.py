"""The pictures of a fit, each with its question, its table and a sentence on how to read it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from miscope.renderers import theme
from miscope.renderers.frame import Frame, Margins, axis_range, finish, log_ticks, span
from miscope.scaling import tables
from miscope.scaling.results import Results
from miscope.scaling.tables import Fit

TITLES = {
    "budget": "compute C, FLOPs",
    "parameters": "parameters N",
    "tokens": "tokens D",
    "loss": "held-out loss, nats",
}
SHAPE_DASH = {"parabola": "solid", "akima": "dot"}
HEIGHT = 400


@dataclass(frozen=True)
class Drawn:
    """A picture: `name` of its files, what it asks, how to read it, its table and the drawing of that table."""

    name: str
    question: str
    reading: str
    table: pd.DataFrame
    figure: go.Figure


def drawn(results: Results, fit: Fit) -> list[Drawn]:
    """Every picture that this fit can carry; one that needs a law is left out where the fit refused one.

    Raises:
        MiscopeError: the fit was made from other runs.
    """
    tables.checked(results, fit)
    made: list[Callable[[Results, Fit], Drawn]] = [isoflop]
    if fit["headline"] is not None:
        made += [loss_against_compute, best_sizes, best_tokens, residuals, surface]
    return [draw(results, fit) for draw in made]


def isoflop(results: Results, fit: Fit) -> Drawn:
    """Runs of each budget over size, the curves through them and their minima."""
    runs, lines, found = tables.runs(results, fit), tables.shapes(results, fit), tables.minima(fit)
    tones, figure = _budget_tones(lines["budget"].unique()), go.Figure()
    curves = tables.kept_curves(results, fit)
    for i, curve in enumerate(curves):
        tone = tones[curve.budget]
        for shape, part in lines[lines["budget"] == curve.budget].groupby("shape", sort=False):
            figure.add_scatter(
                x=part["parameters"], y=part["loss"], mode="lines", showlegend=False, hoverinfo="skip",
                line={"color": tone, "width": 1.5, "dash": SHAPE_DASH[shape]},
            )  # fmt: skip
        figure.add_scatter(
            x=curve.parameters, y=curve.loss, mode="markers", marker={"color": tone, "size": 7},
            name=_flops(curve.budget), showlegend=_is_in_legend(i, len(curves)),
            hovertemplate="N %{x:,}<br>loss %{y:.4f}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    best = found.dropna(subset=["parameters"])
    for shape, symbol in (("parabola", "diamond"), ("akima", "diamond-open")):
        part = best[best["shape"] == shape]
        figure.add_scatter(
            x=part["parameters"], y=part["loss"], mode="markers", name=f"minimum, {shape}",
            marker={"symbol": symbol, "size": 12, "color": theme.MARK, "line": {"width": 1.5, "color": theme.MARK}},
            hovertemplate="N* %{x:,.4s}<br>loss %{y:.4f}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    refused = found[found["refused"] != ""]
    off = fit["n_off_curves"]
    note = f"{len(refused)} of {len(found)} minima refused" if len(refused) else "all minima lie inside"
    note += f"; {off} runs lie on no curve" if off else ""
    shown = runs[np.isfinite(runs["loss"])]
    if not curves:
        figure.add_scatter(x=shown["parameters"], y=shown["loss"], mode="markers", showlegend=False, marker={"size": 6})
    _log(figure.update_xaxes, shown["parameters"], TITLES["parameters"])
    _linear(figure, np.append(lines["loss"], shown["loss"] if not curves else []), TITLES["loss"])
    return _finished(
        "isoflop", "Which size is best at each compute budget?",
        "Each colour is one budget. Left of the minimum the model is too small for its data, right of it it saw too "
        "few tokens. Solid: a parabola; dotted: Akima's curve through them. Diamonds mark minima that lie inside.",
        found, figure, fit, note,
    )  # fmt: skip


def loss_against_compute(results: Results, fit: Fit) -> Drawn:
    """All runs, and the least loss that the headline expects at each budget."""
    runs, found = tables.runs(results, fit), tables.frontier(fit)
    found = found[found["method"] == fit["headline"]]
    figure = go.Figure()
    _band(figure, found, "loss", theme.PALETTE[0], fit["headline"])
    shown = runs[np.isfinite(runs["loss"])]
    figure.add_scatter(
        x=shown["budget"], y=shown["loss"], mode="markers", customdata=shown[["id", "parameters", "tokens"]],
        marker={
            "color": np.log10(shown["parameters"]), "colorscale": theme.SEQUENTIAL, "size": 7,
            "colorbar": _bar("log<sub>10</sub> N"),
        },
        showlegend=False, name="runs",
        hovertemplate="%{customdata[0]}<br>N %{customdata[1]:,.4s}, D %{customdata[2]:,.4s}"
        "<br>loss %{y:.4f}<extra></extra>",
    )  # fmt: skip
    _beyond(figure, fit, found["budget"].max())
    values = np.concatenate([found["loss"], found["loss_low"], shown["loss"]])
    if fit["entropy"] is not None:
        values = np.append(values, fit["entropy"])
        figure.add_hline(
            y=fit["entropy"], line={"color": theme.GREY, "width": 1, "dash": "dash"},
            annotation={"text": "known entropy", "font": {"size": 12, "color": theme.GREY}},
            annotation_position="bottom left",
        )  # fmt: skip
    _log(figure.update_xaxes, found["budget"], TITLES["budget"])
    _linear(figure, values, TITLES["loss"])
    return _finished(
        "loss_against_compute", "How low does the loss get as compute grows?",
        "Dots are runs, lighter for larger models. The line is the least loss that the law expects at a budget; "
        "dashed, in the grey field, it is extrapolated. Runs below the band speak against the law.",
        found[["method", "budget", "is_extrapolated", "loss", "loss_low", "loss_high"]], figure, fit, "", right=90,
    )  # fmt: skip


def best_sizes(results: Results, fit: Fit) -> Drawn:
    return _optimum(fit, "parameters", "best_sizes", "How large should the model be at a compute budget?")


def best_tokens(results: Results, fit: Fit) -> Drawn:
    return _optimum(fit, "tokens", "best_tokens", "How many tokens should it see at a compute budget?")


def _optimum(fit: Fit, name: str, file: str, question: str) -> Drawn:
    """N* or D* by every method, the headline with its band; minima of single budgets with their intervals."""
    found, minima, figure = tables.frontier(fit), tables.minima(fit).dropna(subset=["parameters"]), go.Figure()
    methods = list(dict.fromkeys([fit["headline"], *found["method"]]))
    for i, method in enumerate(methods):
        part, tone = found[found["method"] == method], theme.PALETTE[i % len(theme.PALETTE)]
        _band(figure, part, name, tone, method, has_band=method == fit["headline"])
    for shape, symbol in (("parabola", "diamond"), ("akima", "diamond-open")):
        part, key = minima[minima["shape"] == shape], f"IsoFLOP, {shape}"
        tone = theme.PALETTE[methods.index(key) % len(theme.PALETTE)] if key in methods else theme.GREY
        figure.add_scatter(
            x=part["budget"], y=part[name], mode="markers", marker={"symbol": symbol, "size": 9, "color": tone},
            error_y={
                "type": "data", "symmetric": False, "array": part[f"{name}_high"] - part[name],
                "arrayminus": part[name] - part[f"{name}_low"], "color": tone, "thickness": 1.2, "width": 3,
            },
            name=f"{shape}'s minima", hovertemplate="C %{x:.3g}<br>%{y:,.4s}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    _beyond(figure, fit, found["budget"].max())
    _log(figure.update_xaxes, found["budget"], TITLES["budget"])
    values = pd.concat([found[name], minima[name], found.loc[found["method"] == fit["headline"], f"{name}_high"],
                        found.loc[found["method"] == fit["headline"], f"{name}_low"]])  # fmt: skip
    _log(figure.update_yaxes, values, {"parameters": "best size N*", "tokens": "best tokens D*"}[name])
    columns = ["method", "budget", "is_extrapolated", name, f"{name}_low", f"{name}_high"]
    return _finished(
        file, question,
        f"The band is the {fit['level']:.0%} interval of `{fit['headline']}`; the other lines are what the other "
        "methods say, and their distance is what the choice of method is worth. Dashed, in the grey field: "
        "extrapolated. Diamonds are the minima of single budgets.",
        found[columns], figure, fit, fit["disagreement"]["sentence"],
    )  # fmt: skip


def residuals(results: Results, fit: Fit) -> Drawn:
    """How far each run lies from the headline's law."""
    runs, figure = tables.runs(results, fit), go.Figure()
    runs = runs[np.isfinite(runs["off_percent"])]
    for word, tone, symbol in (("fitted", theme.PALETTE[0], "circle"), ("stands out", theme.MARK, "x"),
                               ("left out", theme.GREY, "circle-open")):  # fmt: skip
        part = runs[runs["state"].str.startswith(word)]
        if len(part):
            figure.add_scatter(
                x=part["predicted"], y=part["off_percent"], mode="markers", name=f"{word} ({len(part)})",
                marker={"color": tone, "symbol": symbol, "size": 7},
                customdata=part[["id", "parameters", "tokens", "state"]],
                hovertemplate="%{customdata[0]}: %{y:+.2f} %<br>N %{customdata[1]:,.4s}, D %{customdata[2]:,.4s}"
                "<br>%{customdata[3]}<extra></extra>",
            )  # fmt: skip
    figure.add_hline(y=0, line={"color": theme.GREY, "width": 1})
    bounds = span(runs["predicted"].to_numpy())
    figure.update_xaxes(title_text="loss that the law expects, nats", range=list(bounds))
    _linear(figure, runs["off_percent"].to_numpy(), "run's loss above the law's, %")
    rms = fit["parametric"][fit["headline"]]["rms_log_residual"]
    return _finished(
        "residuals", "Where does the law miss?",
        "A cloud without shape about 0 is a law that fits. A bend, or one end above and the other below, is a law of "
        "the wrong form or runs that were not trained alike. Crosses stand out; they were fitted all the same.",
        runs, figure, fit, f"root mean square {100 * rms:.2g} %",
    )  # fmt: skip


def surface(results: Results, fit: Fit) -> Drawn:
    """The headline's loss over sizes and tokens, the runs on it, and the best split of each budget."""
    law = tables.headline(fit)
    assert law is not None  # `drawn` asks for this picture only where there is one
    table, runs, figure = tables.surface(results, law), tables.runs(results, fit), go.Figure()
    grid = table.pivot(index="tokens", columns="parameters", values="loss")
    figure.add_contour(
        x=grid.columns, y=grid.index, z=grid.to_numpy(), colorscale=theme.SEQUENTIAL, reversescale=True, ncontours=24,
        line={"width": 0.5, "color": "white"}, colorbar=_bar("loss, nats"),
        hovertemplate="N %{x:,.3s}, D %{y:,.3s}<br>loss %{z:.4f}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=runs["parameters"], y=runs["tokens"], mode="markers", name="runs", customdata=runs[["id", "loss"]],
        marker={"color": "white", "size": 6, "line": {"color": theme.INK, "width": 1}},
        hovertemplate="%{customdata[0]}<br>loss %{customdata[1]:.4f}<extra></extra>",
    )  # fmt: skip
    k = fit["flops_per_parameter_token"]
    budgets = np.geomspace(results.budget.min() / 10, results.budget.max() * 10, 60)
    figure.add_scatter(
        x=law.best_parameters(budgets, k), y=law.best_tokens(budgets, k), mode="lines", name="best split",
        line={"color": theme.MARK, "width": 2}, hoverinfo="skip",
    )  # fmt: skip
    for update, values, text in ((figure.update_xaxes, grid.columns, TITLES["parameters"]),
                                 (figure.update_yaxes, grid.index, TITLES["tokens"])):  # fmt: skip
        ends = (float(values[0]), float(values[-1]))
        update(type="log", range=axis_range(ends, True), title_text=text, **_ticks(ends))
    return _finished(
        "surface", "Where on the loss surface did the runs lie?",
        "Colour is the loss that the law expects; the red line is the best split of a budget into size and data. The "
        "law is known where the runs are: a line that leaves them is a guess.",
        table, figure, fit, "", right=90,
    )  # fmt: skip


# ---------------------------------------------------------------- parts


def _finished(
    name: str, question: str, reading: str, table: pd.DataFrame, figure: go.Figure, fit: Fit, note: str, right: int = 22
) -> Drawn:
    frame = Frame(question=question, subtitle=f"{fit['study']}, {fit['n_fitted']} runs, {fit['headline'] or 'no law'}")
    noted = table.copy()
    noted.attrs["note"] = note
    made = finish(figure, noted, frame, plot_height=HEIGHT, margins=Margins(right=right))
    return Drawn(name, question, reading, table.reset_index(drop=True), made)


def _band(figure: go.Figure, part: pd.DataFrame, name: str, tone: str, label: str, *, has_band: bool = True) -> None:
    """A line, solid where runs are and dashed beyond, with its interval behind it."""
    if has_band and part[f"{name}_low"].notna().any():
        ends = part.dropna(subset=[f"{name}_low", f"{name}_high"])
        figure.add_scatter(
            x=np.concatenate([ends["budget"], ends["budget"][::-1]]),
            y=np.concatenate([ends[f"{name}_high"], ends[f"{name}_low"][::-1]]),
            fill="toself", fillcolor=_pale(tone), line={"width": 0}, mode="lines", showlegend=False, hoverinfo="skip",
        )  # fmt: skip
    inside = part[~part["is_extrapolated"].astype(bool)]
    outside = pd.concat([inside.tail(1), part[part["is_extrapolated"].astype(bool)]])
    for rows, dash, is_named in ((inside, "solid", True), (outside, "dash", False)):
        figure.add_scatter(
            x=rows["budget"], y=rows[name], mode="lines", line={"color": tone, "width": 2, "dash": dash}, name=label,
            showlegend=is_named, legendgroup=label,
            hovertemplate="C %{x:.3g}<br>%{y:,.4s}<extra>%{fullData.name}</extra>",
        )  # fmt: skip


def _beyond(figure: go.Figure, fit: Fit, last: float) -> None:
    """A grey field over budgets larger than any run's."""
    figure.add_vrect(
        x0=fit["largest_budget"], x1=last, fillcolor=theme.PALE, opacity=0.35, line_width=0, layer="below",
        annotation={"text": "extrapolated", "font": {"size": 12, "color": theme.GREY}}, annotation_position="top left",
    )  # fmt: skip


def _log(update: Callable[..., Any], values: Any, text: str) -> None:
    bounds = span(np.asarray(values, dtype=np.float64), is_log=True)
    update(type="log", range=axis_range(bounds, True), title_text=text, **_ticks(bounds))


def _ticks(bounds: tuple[float, float]) -> dict[str, Any]:
    """Whole decades on a long axis; 1, 2 and 5 of each on a short one."""
    return log_ticks(bounds) if bounds[1] / bounds[0] > 10**3.5 else {"dtick": "D2"}


def _linear(figure: go.Figure, values: Any, text: str) -> None:
    figure.update_yaxes(range=list(span(np.asarray(values, dtype=np.float64))), title_text=text)


def _bar(text: str) -> dict[str, Any]:
    return {"title": {"text": text, "font": {"size": 12}}, "thickness": 12, "outlinewidth": 0}


def _budget_tones(budgets: Any) -> dict[float, str]:
    places = np.linspace(0, 0.85, len(budgets)) if len(budgets) > 1 else [0.3]
    return dict(zip(budgets, sample_colorscale(theme.SEQUENTIAL, [float(p) for p in places]), strict=True))


def _is_in_legend(i: int, n: int) -> bool:
    """All of a few budgets; of many, five spread over them."""
    return n <= theme.MAX_LEGEND or i in {round(j * (n - 1) / 4) for j in range(5)}


def _flops(value: float) -> str:
    mantissa, exponent = f"{value:.2e}".split("e")
    number = f"{float(mantissa):g}"
    return f"{'' if number == '1' else number + '×'}10<sup>{int(exponent)}</sup> FLOPs"


def _pale(tone: str) -> str:
    red, green, blue = (int(tone[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"
