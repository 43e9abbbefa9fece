"""What the figures of a fit are drawn from, as tidy tables; a number that was refused is absent, with its sentence."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from miscope.core import MiscopeError
from miscope.maths.power_laws import NAMES, Law
from miscope.scaling.isoflop import SHAPES, Curve, curves, drawn
from miscope.scaling.results import Results

Fit = Mapping[str, Any]  # the content of fit.json
QUANTITIES = {
    "parameters": "N*",
    "tokens": "D*",
    "tokens_per_parameter": "D*/N*",
    "loss": "loss",
    "predicted_loss": "loss of one run",
}
SURFACE = 60  # cells along each axis of the loss surface


def checked(results: Results, fit: Fit) -> None:
    """
    Raises:
        MiscopeError: the fit was made from other runs.
    """
    if fit["provenance"]["results"] != results.digest:
        raise MiscopeError(
            f"The fit of `{results.study}` was made from other runs than results.json holds now. "
            f"Run `dvc repro fit@{results.study}`."
        )


def headline(fit: Fit) -> Law | None:
    """The law that the pictures show: E known, where it is."""
    return None if fit["headline"] is None else Law(**fit["parametric"][fit["headline"]]["law"])


def runs(results: Results, fit: Fit) -> pd.DataFrame:
    """One row per run: sizes, loss, the headline's loss, how far off in percent, and whether it counts."""
    aside = {row["id"]: f"left out: {row['reason']}" for row in fit["set_aside"]}
    far = {row["id"]: f"stands out: {'; '.join(row['reasons'])}" for row in fit["outliers"]}
    law = headline(fit)
    predicted = law.loss(results.parameters, results.tokens) if law else np.full(len(results), np.nan)
    return pd.DataFrame({
        "id": results.ids, "budget": results.budget, "parameters": results.parameters, "tokens": results.tokens,
        "loss": results.loss, "predicted": predicted, "off_percent": 100 * (results.loss / predicted - 1),
        "state": [aside.get(name) or far.get(name) or "fitted" for name in results.ids],
    })  # fmt: skip


def estimates(fit: Fit) -> pd.DataFrame:
    """One row per method and parameter, with its interval or the refusal."""
    rows = [
        {"method": key, "parameter": name, **_answer(estimate)}
        for key, one in fit["parametric"].items()
        for name in (*NAMES, "a")
        for estimate in [one["estimates"][name]]
    ]
    rows += [
        {"method": f"IsoFLOP, {shape}", "parameter": "a", **_answer(one["a"])} for shape, one in _shapes(fit).items()
    ]
    return pd.DataFrame(rows, columns=["method", "parameter", "value", "low", "high", "standard error", "refused"])


def targets(fit: Fit) -> pd.DataFrame:
    """One row per method, budget and quantity."""
    methods = fit["parametric"] | {f"IsoFLOP, {shape}": one for shape, one in _shapes(fit).items()}
    rows = [
        {"method": key, "budget": at["budget"], "quantity": QUANTITIES[name], **_answer(at[name])}
        for key, one in methods.items()
        for at in one["targets"]
        for name in QUANTITIES
        if name in at
    ]
    columns = ["method", "budget", "quantity", "value", "low", "high", "standard error", "refused"]
    return pd.DataFrame(rows, columns=columns)


def _shapes(fit: Fit) -> dict[str, Any]:
    """The IsoFLOP fits in their own order, which JSON does not keep."""
    return {shape: fit["isoflop"][shape] for shape in SHAPES}


def _answer(estimate: Mapping[str, Any]) -> dict[str, Any]:
    refusal = estimate["refusal"]
    named = {"value": estimate["value"], "low": estimate["low"], "high": estimate["high"]}
    return named | {
        "standard error": estimate["standard_error"],
        "refused": f"{refusal['kind']}: {refusal['sentence']}" if refusal else "",
    }


def minima(fit: Fit) -> pd.DataFrame:
    """One row per shape and budget: the best size and tokens with intervals, or why there is none."""
    columns = [
        "shape", "budget", "sizes", "parameters", "parameters_low", "parameters_high", "tokens", "tokens_low",
        "tokens_high", "loss", "refused",
    ]  # fmt: skip
    rows = [
        {"shape": shape, "budget": m["budget"], "sizes": m["n_sizes"], "loss": m["loss"],
         "refused": _answer(m["parameters"])["refused"]} | _ends(m, "parameters") | _ends(m, "tokens")
        for shape, one in _shapes(fit).items() for m in one["minima"]
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _ends(minimum: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = minimum[name]
    return {name: found["value"], f"{name}_low": found["low"], f"{name}_high": found["high"]}


def frontier(fit: Fit) -> pd.DataFrame:
    """One row per method and budget: N*, D* and (for a law) the least loss with bands; whether it is extrapolated."""
    methods = fit["parametric"] | {f"IsoFLOP, {shape}": one for shape, one in _shapes(fit).items()}
    rows = [
        {"method": key, "budget": at["budget"], "is_extrapolated": at["budget"] > fit["largest_budget"] * 1.001}
        | {f"{name}{end}": value for name in ("parameters", "tokens", "loss") if name in at
           for end, value in zip(("", "_low", "_high"), at[name], strict=True)}
        for key, one in methods.items() for at in one["frontier"]
    ]  # fmt: skip
    names = [f"{name}{end}" for name in ("parameters", "tokens", "loss") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["method", "budget", "is_extrapolated", *names])


def kept_curves(results: Results, fit: Fit) -> tuple[Curve, ...]:
    """The IsoFLOP curves of the runs that were fitted."""
    aside = {row["id"] for row in fit["set_aside"]}
    kept = np.array([name not in aside for name in results.ids])
    return curves(*(v[kept] for v in (results.budget, results.parameters, results.tokens, results.loss)))


def shapes(results: Results, fit: Fit) -> pd.DataFrame:
    """Points along the parabola and the Akima interpolant of every curve."""
    parts = []
    for curve in kept_curves(results, fit):
        sizes = np.geomspace(curve.parameters[0], curve.parameters[-1], 60)
        parts += [
            pd.DataFrame({"budget": curve.budget, "shape": s, "parameters": sizes, "loss": drawn(curve, s, sizes)})
            for s in SHAPES
        ]
    return (
        pd.concat(parts, ignore_index=True)
        if parts
        else pd.DataFrame(columns=["budget", "shape", "parameters", "loss"])
    )


def surface(results: Results, law: Law) -> pd.DataFrame:
    """The law's loss over sizes and tokens, half a decade beyond the runs."""
    axes = [np.geomspace(v.min() / 3, v.max() * 3, SURFACE) for v in (results.parameters, results.tokens)]
    sizes, tokens = (v.ravel() for v in np.meshgrid(*axes))
    return pd.DataFrame({"parameters": sizes, "tokens": tokens, "loss": law.loss(sizes, tokens)})
