"""The law of loss over model size and data, the compute-optimal split it implies, and its least squares.

    L(N, D) = E + A / N^alpha + B / D^beta    nats; N parameters, D tokens

Source: Hoffmann et al. 2022, arXiv:2203.15556, section 3.3 and equation 4.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize, nnls

Points = Float[np.ndarray, " point"]
Number = float | Float[np.ndarray, "..."]
NAMES = ("E", "A", "B", "alpha", "beta")
SEARCHED = (0.02, 3.0)  # the exponents among which the grid looks
ALLOWED = (1e-4, 20.0)  # the exponents to which the search may go from there


@dataclass(frozen=True)
class Law:
    """E, A, B in nats; alpha, beta without unit. Fields are numbers, or arrays of one shape: a law per replicate."""

    E: Number
    A: Number
    B: Number
    alpha: Number
    beta: Number

    @property
    def exponent(self) -> Number:
        """a of N* ~ C^a, beta / (alpha + beta); D* ~ C^(1 - a). NaN where both exponents are 0."""
        with np.errstate(invalid="ignore"):
            return np.divide(self.beta, self.alpha + self.beta)

    def loss(self, parameters: Number, tokens: Number) -> Number:
        return self.E + self.A * np.power(parameters, -self.alpha) + self.B * np.power(tokens, -self.beta)

    def best_parameters(self, flops: Number, flops_per_parameter_token: float = 6.0) -> Number:
        """N* of least loss at C = k N D FLOPs, k by default 6; positive only where A and B are.

        Source: Hoffmann et al. 2022, arXiv:2203.15556, equation 4.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            odds = np.divide(self.alpha * self.A, self.beta * self.B)
            balance = np.power(odds, np.divide(1.0, self.alpha + self.beta))
            return balance * np.power(flops / flops_per_parameter_token, self.exponent)

    def best_tokens(self, flops: Number, flops_per_parameter_token: float = 6.0) -> Number:
        """D* = C / (k N*)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return flops / flops_per_parameter_token / self.best_parameters(flops, flops_per_parameter_token)

    def best_loss(self, flops: Number, flops_per_parameter_token: float = 6.0) -> Number:
        """The loss at (N*, D*): the frontier. NaN where the law has no inner best, A or B being 0."""
        k = flops_per_parameter_token
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return self.loss(self.best_parameters(flops, k), self.best_tokens(flops, k))


class Centred(NamedTuple):
    """log N and log D about their means, in which A and B are nats at the centre and no number is large."""

    n: Points
    d: Points
    n_mean: float
    d_mean: float

    @classmethod
    def of(cls, parameters: Points, tokens: Points) -> "Centred":
        n, d = np.log(parameters), np.log(tokens)
        return cls(n - n.mean(), d - d.mean(), float(n.mean()), float(d.mean()))

    def law(self, E: float, A: float, B: float, alpha: float, beta: float) -> Law:
        """The law whose A and B are given at the centre."""
        return Law(E, A * float(np.exp(alpha * self.n_mean)), B * float(np.exp(beta * self.d_mean)), alpha, beta)


def least_squares(
    parameters: Points, tokens: Points, loss: Points, *, weights: Points | None = None, pinned: float | None = None,
    cells: int = 64, tolerance: float = 1e-10,
) -> Law:  # fmt: skip
    """The law of least squared error: a search over (alpha, beta) alone, for E, A, B >= 0 follow from them exactly.

    A grid of `cells` x `cells` exponents from 0.02 to 3, then Nelder-Mead on their logarithms to `tolerance`. `pinned`
    holds E at a known value. `weights` are not negative, such as how often a bootstrap drew each point.

    Source: Golub and Pereyra 1973, SIAM J. Numer. Anal. 10(2) (variable projection); Lawson and Hanson 1974 (`nnls`).
    """
    at = Centred.of(parameters, tokens)
    weights = np.ones_like(loss) if weights is None else weights
    grid = np.geomspace(*SEARCHED, cells)
    errors = _grid_errors(at, loss - (pinned or 0.0), weights, grid, has_floor=pinned is None)
    i, j = np.unravel_index(int(np.argmin(errors)), errors.shape)
    root, low, high = np.sqrt(weights), *np.log(ALLOWED)
    target, ones = root * (loss - (pinned or 0.0)), [] if pinned is not None else [np.ones_like(at.n)]

    def columns(alpha: float, beta: float) -> Float[np.ndarray, "point column"]:
        """What the law is linear in, given its exponents: [1,] N^-alpha, D^-beta."""
        return np.stack([*ones, np.exp(-alpha * at.n), np.exp(-beta * at.d)], axis=1)

    def error(exponents: np.ndarray) -> float:
        if np.any(exponents < low) or np.any(exponents > high):
            return np.inf
        return float(nnls(columns(*np.exp(exponents)) * root[:, None], target)[1])

    start = np.log([grid[i], grid[j]])
    simplex = start + np.log(grid[1] / grid[0]) * np.array([[0.0, 0.0], [0.6, 0.2], [-0.2, 0.6]])
    options = {"xatol": tolerance, "fatol": 0.0, "initial_simplex": simplex, "maxiter": 2000, "maxfev": 4000}
    if tolerance > 1e-8:
        options["fatol"] = tolerance * float(np.sqrt(errors[i, j]))
    alpha, beta = np.exp(minimize(error, start, method="Nelder-Mead", options=options).x).tolist()
    scales = nnls(columns(alpha, beta) * root[:, None], target)[0]
    E, A, B = (pinned, *scales) if pinned is not None else scales
    return at.law(float(E), float(A), float(B), alpha, beta)


def _grid_errors(
    at: Centred, target: Points, weights: Points, grid: Float[np.ndarray, " cell"], *, has_floor: bool
) -> Float[np.ndarray, "cell cell"]:
    """The least squared error at each pair of exponents, scales held at or above 0."""
    sizes, data = np.exp(-grid[:, None] * at.n), np.exp(-grid[:, None] * at.d)
    shape = (len(grid), len(grid))
    first, second = (lambda v: np.broadcast_to(v[:, None], shape)), (lambda v: np.broadcast_to(v, shape))
    gram = {
        (0, 0): np.full(shape, weights.sum()),
        (0, 1): first(sizes @ weights),
        (0, 2): second(data @ weights),
        (1, 1): first(sizes**2 @ weights),
        (2, 2): second(data**2 @ weights),
        (1, 2): (sizes * weights) @ data.T,
    }
    weighted = weights * target
    right = [np.full(shape, weighted.sum()), first(sizes @ weighted), second(data @ weighted)]
    members = (0, 1, 2) if has_floor else (1, 2)
    explained = np.zeros(shape)
    for size in range(1, len(members) + 1):
        for chosen in combinations(members, size):
            matrix = np.stack([np.stack([gram[min(r, c), max(r, c)] for c in chosen], -1) for r in chosen], -2)
            ridge = 1e-13 * np.trace(matrix, axis1=-2, axis2=-1)[..., None, None] * np.eye(size)
            vector = np.stack([right[r] for r in chosen], -1)
            scales = np.linalg.solve(matrix + ridge, vector[..., None])[..., 0]
            gain = np.where((scales >= 0).all(axis=-1), (scales * vector).sum(axis=-1), 0.0)
            explained = np.maximum(explained, gain)
    return np.maximum(float(weighted @ target) - explained, 0.0)
