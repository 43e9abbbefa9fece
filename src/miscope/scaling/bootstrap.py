"""Intervals: runs drawn again with replacement, the law fitted to each draw, and what the draws agree on.

Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapters 6 and 13 (pairs; percentile interval).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from miscope.maths.power_laws import NAMES, Law
from miscope.scaling.parametric import Points, refitted, unfit
from miscope.scaling.refusals import Refusal
from miscope.scaling.settings import Method

LEVEL = 0.95
# An interval wider than these is no answer.
WIDEST_FLOOR = 0.5  # of E, as a share of the lowest loss
WIDEST_RATIO = {"alpha": 4.0, "beta": 4.0, "parameters": 100.0, "tokens": 100.0, "tokens_per_parameter": 10_000.0}
WORDS = {"parameters": "N*", "tokens": "D*", "tokens_per_parameter": "D*/N*"}
WIDEST_EXPONENT = 0.5  # of a, whose whole range is 0 to 1
FEWEST = 0.8  # of the draws must have an answer at all


@dataclass(frozen=True)
class Estimate:
    """A number with its interval of LEVEL and standard error; refused where the interval says nothing.

    `value` is absent where refused; then the interval, where there is one, shows why.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    refusal: Refusal | None = None


def redrawn_laws(points: Points, method: Method, law: Law, draws: int, seed: int) -> Law:
    """`draws` laws as one Law of arrays, each fitted to as many runs drawn with replacement; `law` is that of all.

    A draw that holds too few different runs for any law is drawn again.
    """
    generator, n = np.random.default_rng(seed), len(points)
    found = np.empty((draws, len(NAMES)))
    for row in found:
        weights = np.bincount(generator.integers(0, n, n), minlength=n)
        while _is_degenerate(points, weights):
            weights = np.bincount(generator.integers(0, n, n), minlength=n)
        fit = refitted(points, method, law, weights.astype(np.float64))
        row[:] = [getattr(fit, name) for name in NAMES]
    return Law(*found.T)


def _is_degenerate(points: Points, weights: np.ndarray) -> bool:
    drawn = weights > 0
    return unfit(Points(points.parameters[drawn], points.tokens[drawn], points.loss[drawn], points.floor)) is not None


def interval(value: float, draws: Float[np.ndarray, " draw"], what: str = "It") -> Estimate:
    """The percentile interval of the draws that have an answer; refused if too few have one."""
    answered = draws[~np.isnan(draws)]
    if len(answered) < max(FEWEST * len(draws), 2) or not np.isfinite(value):
        share = 1 - len(answered) / max(len(draws), 1)
        sentence = f"{what} has no answer in {share:.0%} of {len(draws)} redrawings."
        return Estimate(None, refusal=Refusal("not identifiable", sentence))
    tail = (1 - LEVEL) / 2
    low, high = (float(np.quantile(answered, q, method="inverted_cdf")) for q in (tail, 1 - tail))
    finite = answered[np.isfinite(answered)]
    return Estimate(
        float(value), low, high if np.isfinite(high) else None, float(finite.std(ddof=1)) if len(finite) > 1 else None
    )


def refused_if_wide(estimate: Estimate, what: str, widest_ratio: float) -> Estimate:
    """The estimate, or its refusal where the ends of its interval lie too far apart for a number between them."""
    if estimate.refusal or estimate.low is None:
        return estimate
    if estimate.high is not None and estimate.low > 0 and estimate.high / estimate.low <= widest_ratio:
        return estimate
    end = f"{estimate.high:.3g}" if estimate.high is not None else "without end"
    sentence = (
        f"{what} is not identifiable: its {LEVEL:.0%} interval runs from {estimate.low:.3g} to {end}, more than "
        f"a factor of {widest_ratio:,.0f}."
    )
    return _refused(estimate, sentence)


def _refused(estimate: Estimate, sentence: str) -> Estimate:
    refusal = Refusal("not identifiable", sentence)
    return Estimate(None, estimate.low, estimate.high, estimate.standard_error, refusal)


def parameters(points: Points, law: Law, draws: Law) -> dict[str, Estimate]:
    """E, A, B, alpha, beta and a = beta / (alpha + beta), each with its interval or refused."""
    found = {name: interval(getattr(law, name), getattr(draws, name), name) for name in NAMES}
    if points.floor is not None:
        found["E"] = Estimate(points.floor)
    else:
        found["E"] = _floor(found["E"], float(points.loss.min()))
    for name, scale in (("alpha", "A"), ("beta", "B")):
        found[name] = refused_if_wide(found[name], name, WIDEST_RATIO[name])
        if found[name].refusal and not found[scale].refusal:
            found[scale] = _refused(found[scale], f"{scale} means nothing without {name}, which is not identifiable.")
    found["a"] = exponent(float(law.exponent), np.asarray(draws.exponent))
    return found


def exponent(value: float, draws: Float[np.ndarray, " draw"]) -> Estimate:
    """a of N* ~ C^a; refused where the interval takes up half of all that it could be."""
    found = interval(value, draws, "a")
    if found.refusal or found.low is None or found.high is None or found.high - found.low <= WIDEST_EXPONENT:
        return found
    return _refused(
        found,
        f"a is not identifiable: its {LEVEL:.0%} interval runs from {found.low:.2f} to {found.high:.2f}, more than "
        f"{WIDEST_EXPONENT} wide.",
    )


def _floor(estimate: Estimate, lowest: float) -> Estimate:
    if estimate.low is None or estimate.high is None:
        return estimate
    if estimate.low > 0.01 * lowest and estimate.high - estimate.low <= WIDEST_FLOOR * lowest:
        return estimate
    return _refused(
        estimate,
        f"E is not identifiable: its {LEVEL:.0%} interval runs from {estimate.low:.3g} to {estimate.high:.3g} nats, "
        f"with {lowest:.3g} the lowest loss measured. Longer runs of larger models would tell; a floor that is known "
        "can be pinned.",
    )


def asked(name: str, flops: float, value: float, draws: Float[np.ndarray, " draw"]) -> Estimate:
    """`parameters`, `tokens` or `tokens_per_parameter` at a budget, refused where its interval says nothing."""
    what = f"{WORDS[name]} at {flops:.3g} FLOPs"
    return refused_if_wide(interval(value, draws, what), what, WIDEST_RATIO[name])


def at_budget(
    law: Law, draws: Law, flops: float, k: float, residuals: Float[np.ndarray, " point"], seed: int
) -> dict[str, Estimate]:
    """N*, D*, D/N and the loss at `flops`; the loss also as a prediction: with a run's own deviation on top.

    `residuals` are the runs' log losses less the law's.
    """
    sizes, tokens = np.asarray(draws.best_parameters(flops, k)), np.asarray(draws.best_tokens(flops, k))
    here, there = float(law.best_parameters(flops, k)), float(law.best_tokens(flops, k))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios, ratio = tokens / sizes, float(np.divide(there, here))
    loss, least = np.asarray(draws.best_loss(flops, k)), float(law.best_loss(flops, k))
    chosen = np.random.default_rng(seed).choice(residuals, len(loss))
    return {
        "parameters": asked("parameters", flops, here, sizes),
        "tokens": asked("tokens", flops, there, tokens),
        "tokens_per_parameter": asked("tokens_per_parameter", flops, ratio, ratios),
        "loss": interval(least, loss, "The loss"),
        "predicted_loss": interval(least, loss * np.exp(chosen), "The loss of a run"),
    }
