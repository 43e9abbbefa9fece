"""The law L(N, D) fitted by squared error, by Huber's loss on its logarithm, or by an asymmetric absolute error.

Squared error takes all runs as equally good; Huber's allows that a few are off; the asymmetric one that a run is worse
than the law, seldom better. For intervals, runs are drawn again with replacement and the law is fitted to each draw.

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
from scipy.special import huber

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

    def predicted(self, law: Law) -> Float[np.ndarray, " point"]:
        """The law's losses in nats."""
        return np.asarray(law.loss(self.parameters, self.tokens))

    def log_residuals(self, law: Law) -> Float[np.ndarray, " point"]:
        """log loss of the runs less the law's: above 0, the run is worse."""
        return np.asarray(np.log(self.loss) - np.log(self.predicted(law)))


@dataclass(frozen=True)
class Fitted:
    """One method's law on one set of points, with its redrawn laws, as one Law of arrays."""

    key: str
    method: fit.Method
    points: Points
    law: Law
    draws: Law

    def spread(self) -> float | None:
        """Standard deviation of the runs about the law in nats; None where it has as many parameters as runs."""
        error = self.points.loss - self.points.predicted(self.law)
        freedom = len(self.points) - 5 + (self.points.floor is not None)
        return float(np.sqrt((error**2).sum() / freedom)) if freedom > 0 else None

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
        answers["E"] = fit.Estimate(points.floor) if points.floor is not None else self._floor(answers["E"])
        for name, scale in (("alpha", "A"), ("beta", "B")):
            answers[name] = answers[name].refused_if_wide(name, fit.WIDEST_RATIO[name])
            if answers[name].refusal and not answers[scale].refusal:
                answers[scale] = answers[scale].refused(
                    f"{scale} means nothing without {name}, which is not identifiable."
                )
        return {**answers, "a": fit.exponent(float(law.exponent), np.asarray(draws.exponent))}

    def _floor(self, estimate: fit.Estimate) -> fit.Estimate:
        """E, refused where its interval is wide, or reaches down to 0."""
        lowest, low, high = float(self.points.loss.min()), estimate.low, estimate.high
        if low is None or high is None or (low > 0.01 * lowest and high - low <= WIDEST_FLOOR * lowest):
            return estimate
        return estimate.refused(
            f"E is not identifiable: its {fit.LEVEL:.0%} interval runs from {low:.3g} to {high:.3g} nats, with "
            f"{lowest:.3g} the lowest loss measured. Longer runs of larger models would determine it; a known floor "
            "can be held fixed."
        )

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
    predicted = points.predicted(law)
    if method == "squared":
        return float(((predicted - points.loss) ** 2).sum())
    if method == "asymmetric":
        error = points.loss - predicted
        return float(np.where(error < 0, -OVER_WEIGHT * error, error).mean())
    return float(huber(DELTA, np.log(predicted) - np.log(points.loss)).sum())


def unfit(points: Points) -> fit.Refusal | None:
    """Why no law can be fitted to these points at all, if so."""
    needed = 5 + (points.floor is None)
    cells = len(set(zip(points.parameters.tolist(), points.tokens.tolist(), strict=True)))
    if cells < needed:
        sentence = (
            f"{cells} different pairs of size and tokens for {needed - 1} parameters; at least {needed} are needed."
        )
        return fit.Refusal("too few points", sentence)
    for name, values in (("sizes", points.parameters), ("token counts", points.tokens)):
        if (different := len(set(values.tolist()))) < 3:
            return fit.Refusal("not identifiable", f"{different} different {name}; an exponent needs at least 3.")
    correlation = float(np.corrcoef(np.log(points.parameters), np.log(points.tokens))[0, 1])
    if abs(correlation) <= 0.9999:
        return None
    return fit.Refusal(
        "not identifiable",
        f"Size and tokens vary together in all runs (correlation {correlation:.5f} of their logarithms): their "
        "separate effects cannot be determined.",
    )


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
        return SCALE * float(self.weights @ huber(DELTA, residual)), np.array(gradient[: len(theta)])

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
        sizes, data = law.A * np.exp(-law.alpha * self.at.n_mean), law.B * np.exp(-law.beta * self.at.d_mean)
        logs = [float(np.log(max(value, 1e-9))) for value in (sizes, data)]
        floor = float(np.log(max(float(law.E), 1e-3 * self.lowest)))
        theta = [*logs, float(law.alpha), float(law.beta), floor]
        return np.asarray(np.clip(theta[: len(self.bounds)], *np.transpose(self.bounds)))

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
        if not best.success:  # exponents so large that the solver refuses the matrix
            return np.inf, np.zeros(2 + has_floor)
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
    E, A, B = solved(best)[1] if has_floor else (points.floor, *solved(best)[1])
    return at.law(float(E or 0.0), float(A), float(B), *(float(value) for value in np.exp(best)))


def redrawn_laws(points: Points, method: fit.Method, law: Law, draws: int, seed: int) -> Law:
    """`draws` laws as one Law of arrays, each fitted to as many runs drawn with replacement; `law` is that of all."""
    generator = np.random.default_rng(seed)
    laws = (refitted(points, method, law, _drawn(points, generator)) for _ in range(draws))
    return Law(*np.array([[getattr(one, name) for name in NAMES] for one in laws], dtype=np.float64).T)


def _drawn(points: Points, generator: np.random.Generator) -> Float[np.ndarray, " point"]:
    """How often each run is drawn; a draw that holds too few different runs for any law is drawn again."""
    n = len(points)
    while True:
        weights = np.bincount(generator.integers(0, n, n), minlength=n)
        some = weights > 0
        if unfit(Points(points.parameters[some], points.tokens[some], points.loss[some], points.floor)) is None:
            return weights.astype(np.float64)
