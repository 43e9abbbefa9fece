"""Compute-optimal sizes from runs of equal compute: the least loss over size at each budget, a line through the minima.

A curve has an answer only where its minimum lies inside: the lowest run is neither the smallest nor the largest size.
The method is biased even without noise, for the curves are no parabolas; `bias` in the fit says by how much here.

Source: Hoffmann et al. 2022, arXiv:2203.15556, section 3.2 (parabola of the loss in log N); Porian et al. 2024,
arXiv:2406.19146, section 3.1 (Akima interpolation of log loss, noise redrawn); Akima 1970, J. ACM 17(4).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.interpolate import Akima1DInterpolator

from miscope.scaling import fit

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

    @property
    def tokens(self) -> Float[np.ndarray, " size"]:
        return self.budget / self.flops_per_parameter_token / self.parameters


def curves(
    budget: Float[np.ndarray, " run"], parameters: Float[np.ndarray, " run"], tokens: Float[np.ndarray, " run"],
    loss: Float[np.ndarray, " run"],
) -> tuple[Curve, ...]:  # fmt: skip
    """The runs gathered by budget, of those budgets at which at least FEWEST_SIZES sizes ran."""
    groups: list[list[int]] = []
    for i in np.argsort(budget, kind="stable").tolist():
        if not groups or budget[i] > SAME_BUDGET * budget[groups[-1][0]]:
            groups.append([])
        groups[-1].append(i)
    gathered = []
    for group in groups:
        which = _sizes(parameters[group])
        counts = np.bincount(which).astype(np.float64)
        if len(counts) >= FEWEST_SIZES:
            k = float(np.median(budget[group] / (parameters[group] * tokens[group])))
            sizes, means = (np.bincount(which, weights=v[group]) / counts for v in (parameters, loss))
            gathered.append(Curve(float(np.median(budget[group])), sizes, means, counts, k))
    return tuple(gathered)


def _sizes(parameters: Float[np.ndarray, " run"]) -> Int[np.ndarray, " run"]:
    """The number of each run's size, from the smallest, 0; runs within SAME_SIZE of one another are of one size."""
    order = np.argsort(parameters, kind="stable")
    steps = np.diff(np.log(parameters[order]), prepend=np.log(parameters[order[0]])) > np.log(SAME_SIZE)
    numbers = np.empty(len(parameters), dtype=np.int64)
    numbers[order] = np.cumsum(steps)
    return numbers


def seed_noise(budget: np.ndarray, parameters: np.ndarray, loss: np.ndarray) -> float | None:
    """Standard deviation of the loss in nats among runs of one size and budget; None with fewer than 3 repeats."""
    squares, freedom = 0.0, 0
    for cell in sorted(set(zip(budget.tolist(), parameters.tolist(), strict=True))):
        same = loss[(budget == cell[0]) & (parameters == cell[1])]
        squares, freedom = squares + float(((same - same.mean()) ** 2).sum()), freedom + len(same) - 1
    return float(np.sqrt(squares / freedom)) if freedom >= 3 else None


def parabola_noise(curves: Sequence[Curve]) -> float | None:
    """Standard deviation about the parabolas, in nats: noise and misfit together. None where nothing is left over."""
    residuals = [curve.loss - drawn(curve, "parabola", curve.parameters) for curve in curves]
    freedom = sum(len(r) - 3 for r in residuals)
    return float(np.sqrt(sum(float(r @ r) for r in residuals) / freedom)) if freedom > 0 else None


def drawn(curve: Curve, shape: fit.Shape, at: Float[np.ndarray, " point"]) -> Float[np.ndarray, " point"]:
    """The shape's loss in nats at the sizes `at`, which lie within the curve."""
    return np.asarray(_shape(curve.parameters, curve.loss[None], shape)(np.log(at))[0])


def minima_of(
    parameters: Float[np.ndarray, " size"], loss: Float[np.ndarray, "draw size"], shape: fit.Shape
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


def _shape(sizes: np.ndarray, loss: np.ndarray, shape: fit.Shape) -> Callable[[np.ndarray], np.ndarray]:
    """A function of log N that gives [draw, point] losses."""
    x = np.log(sizes)
    if shape == "parabola":
        middle, half = (x[0] + x[-1]) / 2, (x[-1] - x[0]) / 2
        scaled = np.vander((x - middle) / half, 3)
        weights = np.linalg.pinv(scaled) @ loss.T
        return lambda at: (np.vander((at - middle) / half, 3) @ weights).T
    spline = Akima1DInterpolator(x, np.log(loss), axis=1)
    return lambda at: np.exp(spline(at))


def refusal_of(curve: Curve, shape: fit.Shape) -> fit.Refusal | None:
    """Why this curve has no optimum, if so."""
    best = int(curve.loss.argmin())
    if best in (0, len(curve.loss) - 1):
        end, more = ("smallest", "smaller") if best == 0 else ("largest", "larger")
        return fit.Refusal(
            "minimum at the grid's edge",
            f"At {curve.budget:.3g} FLOPs the {end} size, {curve.parameters[best]:,.0f}, has the least loss; the best "
            f"may be {more}. Plan {more} sizes for this budget.",
        )
    if np.isnan(minima_of(curve.parameters, curve.loss[None], shape)[0][0]):
        return fit.Refusal(
            "no interior minimum",
            f"At {curve.budget:.3g} FLOPs the {shape} through {len(curve.loss)} sizes has no minimum inside.",
        )
    return None


def fitted(
    curves: Sequence[Curve], shape: fit.Shape, sigma: float, draws: int, seed: int,
    targets: Sequence[float] = (), budgets: Sequence[float] = (), k: float = 6.0,
) -> fit.IsoflopFit:  # fmt: skip
    """Minima with intervals from `draws` redrawings of noise of `sigma` nats per run, and the line through them.

    The line is asked for N* and D* at `targets`, and along `budgets`; C = k N D.
    """
    generator = np.random.default_rng(seed)
    minima, sizes, redrawn = [], [], []
    for curve in curves:
        shaken = sigma / np.sqrt(curve.n_runs) * generator.standard_normal((draws, len(curve.loss)))
        many = minima_of(curve.parameters, np.maximum(curve.loss + shaken, 1e-9), shape)[0]
        one, least = (float(value[0]) for value in minima_of(curve.parameters, curve.loss[None], shape))
        per = curve.budget / curve.flops_per_parameter_token
        if refusal := refusal_of(curve, shape):
            size = tokens = fit.Estimate(None, refusal=refusal)
        else:
            size = fit.asked("parameters", curve.budget, one, many)
            tokens = fit.asked("tokens", curve.budget, per / one, per / many)
        is_usable = size.value is not None
        minima.append(fit.Minimum(curve.budget, len(curve.loss), size, tokens, least if is_usable else None))
        if is_usable:
            sizes.append((curve.budget, one))
            redrawn.append(many)
    if len(sizes) < FEWEST_BUDGETS:
        have = f"{len(sizes)} of {len(curves)} budgets have a minimum inside"
        sentence = f"{have}; a line through minima needs {FEWEST_BUDGETS}."
        return fit.IsoflopFit(tuple(minima), fit.Estimate(None).refused(sentence, "too few budgets"))
    x, best = np.log(np.array(sizes)).T
    line, lines = _lines(x, best[None]), _lines(x, np.log(np.array(redrawn)).T)

    def on_line(c: float) -> tuple[float, fit.Draws]:
        one, many = (np.exp(each[:, 0] + each[:, 1] * np.log(c)) for each in (line, lines))
        return one[0], many

    def target(c: float) -> fit.Target:
        n, ns = on_line(c)
        pairs = (n, ns), (c / k / n, c / k / ns), (c / k / n**2, c / k / ns**2)
        return fit.Target(c, *(fit.asked(name, c, *pair) for name, pair in zip(fit.WORDS, pairs, strict=True)))

    def frontier(c: float) -> fit.Frontier:
        n, ns = on_line(c)
        return fit.Frontier(c, fit.interval(n, ns).band, fit.interval(c / k / n, c / k / ns).band)

    a = fit.exponent(float(line[0, 1]), lines[:, 1])
    return fit.IsoflopFit(tuple(minima), a, tuple(map(target, targets)), tuple(map(frontier, budgets)))


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
