"""What a reader should know before believing a fit: bias, outliers, sensitivity, a test ahead, disagreement."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from miscope.maths.power_laws import Law
from miscope.scaling import isoflop
from miscope.scaling.parametric import Points, fitted, unfit
from miscope.scaling.results import Results
from miscope.scaling.settings import Method

FAR = 5.0  # robust spreads from the law beyond which a run is listed


@dataclass(frozen=True)
class Fitted:
    """One method's law on one set of points, with its redrawn laws."""

    key: str
    method: Method
    points: Points
    law: Law
    draws: Law

    @property
    def log_residuals(self) -> Float[np.ndarray, " point"]:
        """log loss of the runs less the law's: above 0, the run is worse."""
        return np.log(self.points.loss) - np.log(np.asarray(self.law.loss(self.points.parameters, self.points.tokens)))


def points_of(results: Results, mask: Bool[np.ndarray, " run"], floor: float | None) -> Points:
    return Points(results.parameters[mask], results.tokens[mask], results.loss[mask], floor)


def bias(
    curves: tuple[isoflop.Curve, ...], headline: Fitted | None, targets: tuple[float, ...], k: float
) -> dict[str, Any]:
    """What the IsoFLOP method answers on noise-free losses of the headline's law at the very sizes that ran.

    Source: Open-Athena 2026, scaling-law-analysis (the method's bias without noise).
    """
    if headline is None or not curves:
        return {}
    law = headline.law
    found: dict[str, Any] = {}
    for shape in isoflop.SHAPES:
        clean = isoflop.exact(curves, law)
        optima = isoflop.optima(clean, shape, 0.0, 2, 0)
        at = [] if optima.line is None else [(c, float(isoflop.best_parameters(optima.line, c)[0])) for c in targets]
        found[shape] = {
            "a": optima.a.value,
            "a_of_law": law.exponent,
            "targets": [{"budget": c, "ratio": n / float(law.best_parameters(c, k))} for c, n in at],
            "minima": [
                {"budget": m.budget, "ratio": (m.parameters.value or np.nan) / float(law.best_parameters(m.budget, k))}
                for m in optima.minima
            ],
            "refusal": optima.a.refusal,
        }
    return found


def outliers(results: Results, kept: Bool[np.ndarray, " run"], headline: Fitted | None) -> list[dict[str, Any]]:
    """Runs that were fitted and stand out, each with its reasons. They are listed, not left out."""
    index = np.flatnonzero(kept)
    reasons: dict[int, list[str]] = {}
    if headline is not None:
        residuals = headline.log_residuals
        spread = 1.4826 * float(np.median(np.abs(residuals - np.median(residuals))))
        for i, residual in zip(index, residuals, strict=True):
            if spread > 0 and abs(residual) > FAR * spread:
                side = "above" if residual > 0 else "below"
                off = f"{abs(math.expm1(residual)):.1%} {side} the law, {abs(residual) / spread:.1f} robust spreads"
                text = f"its loss lies {off}"
                reasons.setdefault(int(i), []).append(text)
    if results.entropy is not None:
        for i in index[results.loss[kept] < results.entropy]:
            text = f"its loss lies below the source's entropy, {results.entropy:.4f} nats, which no model can reach"
            reasons.setdefault(int(i), []).append(text)
    return [
        {"id": results.ids[i], "loss": results.loss[i], "reasons": reasons[i]} for i in sorted(reasons)
    ]  # fmt: skip


def sensitivity(
    results: Results, kept: Bool[np.ndarray, " run"], headline: Fitted | None, listed: list[dict[str, Any]],
    target: float, k: float,
) -> list[dict[str, Any]]:  # fmt: skip
    """The headline's law with and without the runs in question."""
    if headline is None:
        return []
    is_out = np.isin(np.array(results.ids), [row["id"] for row in listed])
    sets = {
        "the runs fitted": kept,
        "with those that the settings leave out": np.isfinite(results.loss) & (results.loss > 0),
        "without the outliers": kept & ~is_out,
    }
    rows: list[dict[str, Any]] = []
    for name, mask in sets.items():
        if rows and (mask == kept).all():
            continue
        points = points_of(results, mask, headline.points.floor)
        refusal = unfit(points)
        law = None if refusal else headline.law if not rows else fitted(points, headline.method)
        answers = {} if law is None else {"a": law.exponent, "parameters": law.best_parameters(target, k)}
        rows.append({"runs": name, "n": len(points), "law": law, "refusal": refusal, "budget": target, **answers})
    return rows


def held_out(results: Results, kept: Bool[np.ndarray, " run"], headline: Fitted | None) -> dict[str, Any]:
    """The law of all runs but those of most compute (the largest budget, or the last tenth), asked for those."""
    if headline is None:
        return {}
    budgets = results.budget[kept]
    edge = min(float(np.quantile(budgets, 0.9)), float(budgets.max()) / isoflop.SAME_BUDGET)
    last = kept & (results.budget >= edge)
    first, rest = (points_of(results, mask, headline.points.floor) for mask in (kept & ~last, last))
    refusal = unfit(first)
    if refusal:
        return {"n": len(rest), "refusal": refusal}
    error = np.asarray(fitted(first, headline.method).loss(rest.parameters, rest.tokens)) / rest.loss - 1
    return {
        "n": len(rest), "from_budget": edge, "mean_absolute_relative_error": np.abs(error).mean(),
        "mean_relative_error": error.mean(), "refusal": None,
    }  # fmt: skip


def disagreement(found: Mapping[str, Any]) -> dict[str, Any]:
    """What the methods say of a and of N* at the last target, side by side, and a sentence."""
    a: dict[str, Any] = {key: fit["estimates"]["a"] for key, fit in found["parametric"].items()}
    a |= {f"IsoFLOP, {shape}": fit["a"] for shape, fit in found["isoflop"].items()}
    sizes = {key: fit["targets"][-1]["parameters"].value for key, fit in found["parametric"].items()}
    sizes |= {
        f"IsoFLOP, {s}": f["targets"][-1]["parameters"].value for s, f in found["isoflop"].items() if f["targets"]
    }
    given = {key: estimate.value for key, estimate in a.items() if estimate.value is not None}
    answered = {key: size for key, size in sizes.items() if size is not None}
    parts = [f"{len(given)} of {len(a)} methods give an exponent"]
    if len(given) > 1:
        parts.append(f"from {min(given.values()):.3f} to {max(given.values()):.3f}")
    text = " ".join(parts) + "."
    if len(answered) > 1:
        ratio = max(answered.values()) / min(answered.values())
        text += f" At {found['targets'][-1]:.3g} FLOPs their best sizes differ by a factor of {ratio:.2f}."
    return {"a": a, "parameters": sizes, "budget": found["targets"][-1], "sentence": text}
