"""The law L(N, D) fitted by squared error, by Huber's loss on its logarithm, or by an asymmetric absolute error.

Intervals: runs drawn again with replacement, the law fitted to each draw, and what the draws agree on.

Each has its own idea of noise: squared error that all runs are equally good; Huber that a few are off; the asymmetric
one that a run can only be worse than the law, seldom better.

Source: Hoffmann et al. 2022, arXiv:2203.15556, section 3.3 (Huber on the log-sum-exp form); Besiroglu et al. 2024,
arXiv:2404.10102 (sum, not mean: an objective of 1e-5 stops the optimizer early); Takano 2024, the PyPI package
`chinchilla`, docs/changes.md (asymmetric absolute error); Efron and Tibshirani 1993, An Introduction to the Bootstrap,
chapter 6 (pairs).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float
from scipy.optimize import linprog, minimize
from scipy.sparse import csr_array, eye_array, hstack

from miscope.maths.power_laws import ALLOWED, NAMES, Centred, Law, Number, least_squares
from miscope.scaling import fit

DELTA = 1e-3  # of Huber's loss, in log nats
OVER_WEIGHT = 10.0  # of the asymmetric error where the law predicts too much
SCALE = 1e3  # of the objective while it is minimised
POLISHED = 5  # of the starts' ends, by BFGS
BEST = (Law.best_parameters, Law.best_tokens, Law.best_loss)
WIDEST_FLOOR = 0.5  # of E's interval, as a share of the lowest loss, to be an answer
# 300 starts either way: exponents, E as a share of the lowest loss, and the size's share of what is left at the centre
EXPONENTS = (0.1, 0.25, 0.4, 0.7, 1.2)
FREE_STARTS = tuple(product(EXPONENTS, EXPONENTS, (0.05, 0.3, 0.6, 0.9), (0.2, 0.5, 0.8)))
HELD_STARTS = tuple(product(EXPONENTS, EXPONENTS, (1.0,), tuple(np.linspace(0.07, 0.93, 12).tolist())))


@dataclass(frozen=True)
class Points:
    """Runs to fit: sizes, tokens seen and held-out losses in nats; `floor` is E where it is known and to be held."""

    parameters: Float[np.ndarray, " point"]
    tokens: Float[np.ndarray, " point"]
    loss: Float[np.ndarray, " point"]
    floor: float | None = None

    def __len__(self) -> int:
        return len(self.loss)

    def log_residuals(self, law: Law) -> Float[np.ndarray, " point"]:
        """log loss of the runs less the law's: above 0, the run is worse."""
        residuals: np.ndarray = np.log(self.loss) - np.log(np.asarray(law.loss(self.parameters, self.tokens)))
        return residuals


@dataclass(frozen=True)
class Fitted:
    """One method's law on one set of points, with its redrawn laws, as one Law of arrays."""

    key: str
    method: fit.Method
    points: Points
    law: Law
    draws: Law

    def described(self, targets: Sequence[float], budgets: Sequence[float], k: float, seed: int) -> fit.LawFit:
        """What it says: of its parameters, at the targets, and along the frontier; C = k N D."""
        points, law = self.points, self.law
        return fit.LawFit(
            described=fit.METHODS[self.method] + (", E held at its known value" if points.floor is not None else ""),
            n_points=len(points), n_draws=len(np.atleast_1d(self.draws.E)), law=law,
            objective=objective(points, law, self.method),
            rms_log_residual=float(np.sqrt((points.log_residuals(law) ** 2).mean())), estimates=self._estimates(),
            targets=tuple(self._target(c, k, seed) for c in targets),
            frontier=tuple(
                fit.LawFrontier(c, *(fit.interval(*self._asked(answer, c, k)).band for answer in BEST)) for c in budgets
            ),
        )  # fmt: skip

    def _estimates(self) -> dict[str, fit.Estimate]:
        """E, A, B, alpha, beta and a = beta / (alpha + beta), each with its interval or refused."""
        law, draws, points = self.law, self.draws, self.points
        answers = {name: fit.interval(getattr(law, name), getattr(draws, name), name) for name in NAMES}
        answers["E"] = fit.Estimate(points.floor) if points.floor is not None else _floor(answers["E"], points.loss)
        for name, scale in (("alpha", "A"), ("beta", "B")):
            answers[name] = answers[name].refused_if_wide(name, fit.WIDEST_RATIO[name])
            if answers[name].refusal and not answers[scale].refusal:
                sentence = f"{scale} means nothing without {name}, which is not identifiable."
                answers[scale] = answers[scale].refused(sentence)
        return {**answers, "a": fit.exponent(float(law.exponent), np.asarray(draws.exponent))}

    def _target(self, flops: float, k: float, seed: int) -> fit.LawTarget:
        """N*, D*, D*/N* and the loss at `flops`; the loss also as a prediction: with a run's own deviation on top."""
        (n, ns), (d, ds), (least, loss) = (self._asked(answer, flops, k) for answer in BEST)
        with np.errstate(divide="ignore", invalid="ignore"):
            pairs = (n, ns), (d, ds), (float(np.divide(d, n)), ds / ns)
        deviations = np.random.default_rng(seed).choice(self.points.log_residuals(self.law), len(loss))
        best, data, ratio = (fit.asked(name, flops, *pair) for name, pair in zip(fit.WORDS, pairs, strict=True))
        of_law, of_run = fit.interval(least, loss, "The loss"), loss * np.exp(deviations)
        return fit.LawTarget(flops, best, data, ratio, of_law, fit.interval(least, of_run, "The loss of a run"))

    def _asked(self, answer: Callable[[Law, float, float], Number], flops: float, k: float) -> tuple[float, np.ndarray]:
        """What the law answers, and what its redrawn laws do."""
        return float(answer(self.law, flops, k)), np.asarray(answer(self.draws, flops, k))


def fitted(points: Points, method: fit.Method) -> Law:
    """The best law that many starts find; the same points give the same law."""
    if method == "squared":
        return least_squares(points.parameters, points.tokens, points.loss, pinned=points.floor)
    if method == "asymmetric":
        return _asymmetric(points, None, None)
    problem = _Huber(points)
    ends = sorted((problem.descended(start) for start in problem.starts()), key=lambda end: end[0])
    return problem.law(min((problem.polished(end) for end in ends[:POLISHED]), key=lambda end: end[0])[1])


def refitted(points: Points, method: fit.Method, near: Law, weights: Float[np.ndarray, " point"]) -> Law:
    """The law of reweighted points, searched from `near`, the law of all, or from their least squares if better."""
    if method == "asymmetric":
        return _asymmetric(points, weights, near)
    runs = points.parameters, points.tokens, points.loss
    squares = least_squares(*runs, weights=weights, pinned=points.floor, cells=24, tolerance=1e-5)
    if method == "squared":
        return squares
    problem = _Huber(points, weights)
    starts = (problem.theta(law) for law in (near, squares))
    return problem.law(problem.descended(min(starts, key=lambda start: problem.value_and_gradient(start)[0]), 100)[1])


def objective(points: Points, law: Law, method: fit.Method) -> float:
    """What the method minimises: a sum over points (Huber, squared) or a mean (asymmetric)."""
    predicted = np.asarray(law.loss(points.parameters, points.tokens))
    if method == "squared":
        return float(((predicted - points.loss) ** 2).sum())
    if method == "asymmetric":
        error = points.loss - predicted
        return float(np.where(error < 0, -OVER_WEIGHT * error, error).mean())
    return float(_huber(np.log(predicted) - np.log(points.loss)).sum())


def unfit(points: Points) -> fit.Refusal | None:
    """Why no law can be fitted to these points at all, if so."""
    n_needed = 5 + (points.floor is None)
    cells = set(zip(points.parameters.tolist(), points.tokens.tolist(), strict=True))
    if len(cells) < n_needed:
        return fit.Refusal(
            "too few points",
            f"{len(cells)} different pairs of size and tokens for {n_needed - 1} parameters; at least {n_needed} are "
            "needed.",
        )
    for name, values in (("sizes", points.parameters), ("token counts", points.tokens)):
        if len(set(values.tolist())) < 3:
            return fit.Refusal(
                "not identifiable", f"{len(set(values.tolist()))} different {name}; an exponent needs at least 3."
            )
    correlation = float(np.corrcoef(np.log(points.parameters), np.log(points.tokens))[0, 1])
    if abs(correlation) > 0.9999:
        return fit.Refusal(
            "not identifiable",
            f"Size and tokens move together in all runs (correlation {correlation:.5f} of their logarithms): what "
            "each does alone cannot be told.",
        )
    return None


def _huber(residual: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    size = np.abs(residual)
    return np.where(size <= DELTA, residual**2 / 2, DELTA * (size - DELTA / 2))


class _Huber:
    """The objective over theta = (log A, log B, alpha, beta, log E) at the centre of the points; log E may be held."""

    def __init__(self, points: Points, weights: Float[np.ndarray, " point"] | None = None) -> None:
        self.at = Centred.of(points.parameters, points.tokens)
        self.log_loss = np.log(points.loss)
        self.lowest = float(points.loss.min())
        self.weights = np.ones_like(points.loss) if weights is None else weights
        self.floor = points.floor
        exponents, highest = (0.0, ALLOWED[1]), float(points.loss.max())
        scale = (float(np.log(1e-9 * self.lowest)), float(np.log(100 * highest)))
        floor = (float(np.log(1e-6 * self.lowest)), float(np.log(highest)))
        self.bounds = (scale, scale, exponents, exponents, floor)[: 4 + (self.floor is None)]

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """SCALE times the objective, with its analytic gradient."""
        sizes = np.exp(np.minimum(theta[0] - theta[2] * self.at.n, 300.0))
        data = np.exp(np.minimum(theta[1] - theta[3] * self.at.d, 300.0))
        floor = self.floor if self.floor is not None else float(np.exp(min(theta[4], 300.0)))
        predicted = sizes + data + floor
        residual = np.log(predicted) - self.log_loss
        slope = SCALE * self.weights * np.clip(residual, -DELTA, DELTA) / predicted
        by_size, by_data = slope * sizes, slope * data
        gradient = [by_size.sum(), by_data.sum(), -(by_size @ self.at.n), -(by_data @ self.at.d), slope.sum() * floor]
        return SCALE * float(self.weights @ _huber(residual)), np.array(gradient[: len(theta)])

    def descended(self, theta: np.ndarray, most: int = 300) -> tuple[float, np.ndarray]:
        """Objective and theta at the end of a bounded descent of at most `most` iterations."""
        options = {"maxiter": most, "ftol": 1e-14, "gtol": 1e-8}
        end = minimize(self.value_and_gradient, theta, jac=True, method="L-BFGS-B", bounds=self.bounds, options=options)
        return float(end.fun), end.x

    def polished(self, end: tuple[float, np.ndarray]) -> tuple[float, np.ndarray]:
        """The end of a free descent from there, unless it leaves the bounds or leads to nothing better."""
        free = minimize(self.value_and_gradient, end[1], jac=True, method="BFGS", options={"gtol": 1e-9})
        is_inside = all(low <= value <= high for value, (low, high) in zip(free.x, self.bounds, strict=True))
        return (float(free.fun), free.x) if is_inside and free.fun < end[0] else end

    def starts(self) -> list[np.ndarray]:
        starts = []
        for alpha, beta, share, split in FREE_STARTS if self.floor is None else HELD_STARTS:
            floor = self.floor if self.floor is not None else share * self.lowest
            rest = max(float(np.exp(self.log_loss.mean())) - floor, 1e-3)
            theta = [np.log(split * rest), np.log((1 - split) * rest), alpha, beta, np.log(max(floor, 1e-12))]
            starts.append(np.array(theta[: len(self.bounds)]))
        return starts

    def theta(self, law: Law) -> np.ndarray:
        a = law.A * np.exp(-law.alpha * self.at.n_mean)
        b = law.B * np.exp(-law.beta * self.at.d_mean)
        logs = [float(np.log(max(value, 1e-9))) for value in (a, b)]
        floor = float(np.log(max(float(law.E), 1e-3 * self.lowest)))
        theta = [*logs, float(law.alpha), float(law.beta), floor]
        clipped: np.ndarray = np.clip(theta[: len(self.bounds)], *np.transpose(self.bounds))
        return clipped

    def law(self, theta: np.ndarray) -> Law:
        floor = self.floor if self.floor is not None else float(np.exp(theta[4]))
        return self.at.law(floor, float(np.exp(theta[0])), float(np.exp(theta[1])), float(theta[2]), float(theta[3]))


def _asymmetric(points: Points, weights: Float[np.ndarray, " point"] | None, near: Law | None) -> Law:
    """Given the exponents the best E, A, B are a linear programme; the exponents are searched around it.

    Source: Koenker and Bassett 1978, Econometrica 46(1) (regression quantiles as a linear programme).
    """
    at = Centred.of(points.parameters, points.tokens)
    has_floor, n = points.floor is None, len(points)
    target = points.loss - (points.floor or 0.0)
    weights = np.ones(n) if weights is None else weights
    cost = np.concatenate([np.zeros(2 + has_floor), weights, OVER_WEIGHT * weights])
    slack = hstack([eye_array(n), -eye_array(n)])

    def solved(exponents: np.ndarray) -> tuple[float, np.ndarray]:
        alpha, beta = np.exp(np.clip(exponents, *np.log(ALLOWED)))
        ones = [np.ones(n)] if has_floor else []
        columns = np.stack([*ones, np.exp(-alpha * at.n), np.exp(-beta * at.d)], axis=1)
        best = linprog(cost, A_eq=hstack([csr_array(columns), slack]).tocsr(), b_eq=target, method="highs")
        return float(best.fun), best.x[: 2 + has_floor]

    if near is None:
        coarse = np.log(np.geomspace(0.1, 1.5, 6))
        starts = sorted((np.array(pair) for pair in product(coarse, coarse)), key=lambda pair: solved(pair)[0])[:2]
    else:
        starts = [np.log(np.array([near.alpha, near.beta], dtype=np.float64))]
    tolerance = 1e-7 if near is None else 1e-3
    options = {"xatol": tolerance, "fatol": tolerance}
    ends = [minimize(lambda pair: solved(pair)[0], s, method="Nelder-Mead", options=options) for s in starts]
    best = min(ends, key=lambda end: end.fun).x
    scales = solved(best)[1]
    E, A, B = scales if has_floor else (points.floor, *scales)
    return at.law(float(E or 0.0), float(A), float(B), *(float(value) for value in np.exp(best)))


def redrawn_laws(points: Points, method: fit.Method, law: Law, draws: int, seed: int) -> Law:
    """`draws` laws as one Law of arrays, each fitted to as many runs drawn with replacement; `law` is that of all.

    A draw that holds too few different runs for any law is drawn again.
    """
    generator, n = np.random.default_rng(seed), len(points)
    laws = np.empty((draws, len(NAMES)))
    for row in laws:
        weights = np.bincount(generator.integers(0, n, n), minlength=n)
        while _is_degenerate(points, weights):
            weights = np.bincount(generator.integers(0, n, n), minlength=n)
        one = refitted(points, method, law, weights.astype(np.float64))
        row[:] = [getattr(one, name) for name in NAMES]
    return Law(*laws.T)


def _is_degenerate(points: Points, weights: np.ndarray) -> bool:
    drawn = weights > 0
    return unfit(Points(points.parameters[drawn], points.tokens[drawn], points.loss[drawn], points.floor)) is not None


def _floor(estimate: fit.Estimate, loss: Float[np.ndarray, " point"]) -> fit.Estimate:
    lowest = float(loss.min())
    if estimate.low is None or estimate.high is None:
        return estimate
    if estimate.low > 0.01 * lowest and estimate.high - estimate.low <= WIDEST_FLOOR * lowest:
        return estimate
    return estimate.refused(
        f"E is not identifiable: its {fit.LEVEL:.0%} interval runs from {estimate.low:.3g} to {estimate.high:.3g} "
        f"nats, with {lowest:.3g} the lowest loss measured. Longer runs of larger models would tell; a floor that is "
        "known can be pinned."
    )
