"""Compute-optimal sizes from runs of equal compute: the least loss over size at each budget, a line through the minima.

A curve has an answer only where its minimum lies inside: the lowest run is neither the smallest nor the largest size.
The method is biased even without noise, for the curves are no parabolas; `bias` in the fit says by how much here.

Source: Hoffmann et al. 2022, arXiv:2203.15556, section 3.2 (parabola of the loss in log N); Porian et al. 2024,
arXiv:2406.19146, section 3.1 (Akima interpolation of log loss, noise redrawn); Akima 1970, J. ACM 17(4).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.interpolate import Akima1DInterpolator

from miscope.maths.power_laws import Law
from miscope.scaling.bootstrap import Estimate, asked, exponent
from miscope.scaling.refusals import Refusal

Shape = Literal["parabola", "akima"]
SHAPES: tuple[Shape, ...] = ("parabola", "akima")
FEWEST_SIZES = 4  # on one curve
FEWEST_BUDGETS = 3  # for a line and something that may disagree with it
SAME_BUDGET = 1.05  # runs within this factor of compute belong to one curve
SAME_SIZE = 1.01  # and within this factor of parameters to one size
FINE = 1001  # sizes at which an interpolant is looked at


@dataclass(frozen=True)
class Curve:
    """Runs of one budget in FLOPs, by size; the loss is the mean over `n_runs` of that size, in nats."""

    budget: float
    parameters: Float[np.ndarray, " size"]
    loss: Float[np.ndarray, " size"]
    n_runs: Float[np.ndarray, " size"]
    flops_per_parameter_token: float


@dataclass(frozen=True)
class Minimum:
    """The best size at a budget, or why there is none."""

    budget: float
    n_sizes: int
    parameters: Estimate
    tokens: Estimate
    loss: float | None  # nats, at the minimum


@dataclass(frozen=True)
class Optima:
    """What one shape makes of all curves: N* = scale * C^a, or why not."""

    shape: Shape
    minima: tuple[Minimum, ...]
    a: Estimate
    line: Float[np.ndarray, "1 2"] | None  # (log scale, a)
    line_draws: Float[np.ndarray, "draw 2"] | None  # the same of each redrawing of the noise


def curves(
    budget: Float[np.ndarray, " run"], parameters: Float[np.ndarray, " run"], tokens: Float[np.ndarray, " run"],
    loss: Float[np.ndarray, " run"],
) -> tuple[Curve, ...]:  # fmt: skip
    """The runs gathered by budget, of those budgets at which at least FEWEST_SIZES sizes ran."""
    groups: list[list[int]] = []
    for i in np.argsort(budget, kind="stable").tolist():
        if groups and budget[i] <= SAME_BUDGET * budget[groups[-1][0]]:
            groups[-1].append(i)
        else:
            groups.append([i])
    found = []
    for group in groups:
        which = _sizes(parameters[group])
        counts = np.bincount(which).astype(np.float64)
        if len(counts) >= FEWEST_SIZES:
            k = float(np.median(budget[group] / (parameters[group] * tokens[group])))
            sizes, means = (np.bincount(which, weights=v[group]) / counts for v in (parameters, loss))
            found.append(Curve(float(np.median(budget[group])), sizes, means, counts, k))
    return tuple(found)


def _sizes(parameters: Float[np.ndarray, " run"]) -> Int[np.ndarray, " run"]:
    """The number of each run's size, from the smallest, 0; runs within SAME_SIZE of one another are of one size."""
    order = np.argsort(parameters, kind="stable")
    steps = np.diff(np.log(parameters[order]), prepend=np.log(parameters[order[0]])) > np.log(SAME_SIZE)
    found = np.empty(len(parameters), dtype=np.int64)
    found[order] = np.cumsum(steps)
    return found


def seed_noise(budget: np.ndarray, parameters: np.ndarray, loss: np.ndarray) -> float | None:
    """Standard deviation of the loss in nats among runs of one size and budget; None with fewer than 3 repeats."""
    squares, freedom = 0.0, 0
    for cell in sorted(set(zip(budget.tolist(), parameters.tolist(), strict=True))):
        same = loss[(budget == cell[0]) & (parameters == cell[1])]
        squares, freedom = squares + float(((same - same.mean()) ** 2).sum()), freedom + len(same) - 1
    return float(np.sqrt(squares / freedom)) if freedom >= 3 else None


def parabola_noise(found: tuple[Curve, ...]) -> float | None:
    """Standard deviation about the parabolas, in nats: noise and misfit together. None where nothing is left over."""
    residuals = [curve.loss - drawn(curve, "parabola", curve.parameters) for curve in found]
    freedom = sum(len(r) - 3 for r in residuals)
    return float(np.sqrt(sum(float(r @ r) for r in residuals) / freedom)) if freedom > 0 else None


def drawn(curve: Curve, shape: Shape, at: Float[np.ndarray, " point"]) -> Float[np.ndarray, " point"]:
    """The shape's loss in nats at the sizes `at`, which lie within the curve."""
    return _shape(curve.parameters, curve.loss[None], shape)(np.log(at))[0]


def minima_of(
    parameters: Float[np.ndarray, " size"], loss: Float[np.ndarray, "draw size"], shape: Shape
) -> tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " draw"]]:
    """N* and the loss there for each row of losses; NaN where no minimum lies inside."""
    x = np.log(parameters)
    fine = np.linspace(x[0], x[-1], FINE)
    values = _shape(parameters, loss, shape)(fine)
    at = np.clip(values.argmin(axis=1), 1, FINE - 2)
    rows = np.arange(len(loss))
    before, here, after = (values[rows, at + i] for i in (-1, 0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = 0.5 * (before - after) / (before - 2 * here + after)
    is_inside = (values.argmin(axis=1) == at) & (here < values[:, 0]) & (here < values[:, -1])
    is_inside &= ~np.isin(loss.argmin(axis=1), (0, len(x) - 1))
    shift = np.where(is_inside & np.isfinite(shift), shift, 0.0)
    best = np.exp(fine[at] + shift * (fine[1] - fine[0]))
    least = here - 0.25 * (before - after) * shift
    return np.where(is_inside, best, np.nan), np.where(is_inside, least, np.nan)


def _shape(sizes: np.ndarray, loss: np.ndarray, shape: Shape) -> Callable[[np.ndarray], np.ndarray]:
    """A function of log N that gives [draw, point] losses."""
    x = np.log(sizes)
    if shape == "parabola":
        middle, half = (x[0] + x[-1]) / 2, (x[-1] - x[0]) / 2
        scaled = np.vander((x - middle) / half, 3)
        weights = np.linalg.pinv(scaled) @ loss.T
        return lambda at: (np.vander((at - middle) / half, 3) @ weights).T
    spline = Akima1DInterpolator(x, np.log(loss), axis=1)
    return lambda at: np.exp(spline(at))


def refusal_of(curve: Curve, shape: Shape) -> Refusal | None:
    """Why this curve has no optimum, if so."""
    best = int(curve.loss.argmin())
    if best in (0, len(curve.loss) - 1):
        end, more = ("smallest", "smaller") if best == 0 else ("largest", "larger")
        return Refusal(
            "minimum at the grid's edge",
            f"At {curve.budget:.3g} FLOPs the {end} size, {curve.parameters[best]:,.0f}, has the least loss; the best "
            f"may be {more}. Plan {more} sizes for this budget.",
        )
    if np.isnan(minima_of(curve.parameters, curve.loss[None], shape)[0][0]):
        return Refusal(
            "no interior minimum",
            f"At {curve.budget:.3g} FLOPs the {shape} through {len(curve.loss)} sizes has no minimum inside.",
        )
    return None


def optima(found: tuple[Curve, ...], shape: Shape, sigma: float, draws: int, seed: int) -> Optima:
    """Minima with intervals from `draws` redrawings of noise of `sigma` nats per run, and the line through them."""
    generator = np.random.default_rng(seed)
    minima, sizes, redrawn = [], [], []
    for curve in found:
        shaken = sigma / np.sqrt(curve.n_runs) * generator.standard_normal((draws, len(curve.loss)))
        many = minima_of(curve.parameters, np.maximum(curve.loss + shaken, 1e-9), shape)[0]
        one, least = (float(value[0]) for value in minima_of(curve.parameters, curve.loss[None], shape))
        refusal = refusal_of(curve, shape)
        per = curve.budget / curve.flops_per_parameter_token
        if refusal:
            size = tokens = Estimate(None, refusal=refusal)
        else:
            size = asked("parameters", curve.budget, one, many)
            tokens = asked("tokens", curve.budget, per / one, per / many)
        is_usable = size.value is not None
        minima.append(Minimum(curve.budget, len(curve.loss), size, tokens, least if is_usable else None))
        if is_usable:
            sizes.append((curve.budget, one))
            redrawn.append(many)
    if len(sizes) < FEWEST_BUDGETS:
        sentence = (
            f"{len(sizes)} of {len(found)} budgets have a minimum inside; a line through minima needs {FEWEST_BUDGETS}."
        )
        return Optima(shape, tuple(minima), Estimate(None, refusal=Refusal("too few budgets", sentence)), None, None)
    budgets, best = np.log(np.array(sizes)).T
    lines = _lines(budgets, np.log(np.array(redrawn)).T)
    line = _lines(budgets, best[None])
    return Optima(shape, tuple(minima), exponent(float(line[0, 1]), lines[:, 1]), line, lines)


def _lines(x: Float[np.ndarray, " budget"], y: Float[np.ndarray, "draw budget"]) -> Float[np.ndarray, "draw 2"]:
    """Least squares of each row on x, as (intercept, slope); over the budgets that have an answer in that row."""
    w = ~np.isnan(y)
    y, n = np.where(w, y, 0.0), w.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        x_mean, y_mean = (w * x).sum(axis=1) / n, y.sum(axis=1) / n
        off = w * (x - x_mean[:, None])
        slope = (off * y).sum(axis=1) / (off**2).sum(axis=1)
        slope = np.where(n >= FEWEST_BUDGETS - 1, slope, np.nan)
    return np.stack([y_mean - slope * x_mean, slope], axis=1)


def best_parameters(line: Float[np.ndarray, "draw 2"], flops: float) -> Float[np.ndarray, " draw"]:
    """N* at `flops` by each line."""
    return np.exp(line[:, 0] + line[:, 1] * np.log(flops))


def at_budget(
    line: Float[np.ndarray, "1 2"], draws: Float[np.ndarray, "draw 2"], flops: float, k: float
) -> dict[str, float | Estimate]:
    """N*, D* and D*/N* at `flops` = k N D, each refused where its interval says nothing."""
    here, there = float(best_parameters(line, flops)[0]), best_parameters(draws, flops)
    answers = {
        "parameters": (here, there),
        "tokens": (flops / k / here, flops / k / there),
        "tokens_per_parameter": (flops / k / here**2, flops / k / there**2),
    }
    found = {name: asked(name, flops, value, many) for name, (value, many) in answers.items()}
    return {"budget": flops, **found}


def exact(found: tuple[Curve, ...], law: Law) -> tuple[Curve, ...]:
    """The same curves with the losses that the law gives, free of noise."""
    return tuple(
        replace(c, loss=np.asarray(law.loss(c.parameters, c.budget / c.flops_per_parameter_token / c.parameters)))
        for c in found
    )
