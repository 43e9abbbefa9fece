"""A loss around a point: eigenvalues and trace of its Hessian, and Langevin chains that wander about it.

Chains go as the tempered posterior there would (stochastic-gradient Langevin dynamics).

Source: for the chains Welling and Teh 2011, Bayesian Learning via Stochastic Gradient Langevin Dynamics (ICML),
equation 4; the localised, tempered form is Lau et al. 2023, arXiv:2308.12108, section 4.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Products = Callable[[Float[np.ndarray, "n parameter"]], Float[np.ndarray, "n parameter"]]
Vectors = Float[np.ndarray, "chain parameter"]
Oracle = Callable[[Vectors, int], tuple[Float[np.ndarray, " chain"], Vectors]]  # (where, batch) -> losses, gradients
Losses = Callable[[Vectors, int], Float[np.ndarray, " chain"]]


class Extremes(NamedTuple):
    """The largest and the least eigenvalue found, each with how far it may be from an eigenvalue."""

    largest: float
    largest_error: float  # the residual's norm: some eigenvalue lies within it
    least: float
    least_error: float
    n_products: int


def extreme_eigenvalues(
    products: Products, size: int, *, tolerance: float = 0.01, most_products: int = 50, seed: int = 0
) -> Extremes:
    """By Lanczos from a random vector, every new one made orthogonal to all before (float64).

    It ends when the largest eigenvalue is known to `tolerance` of itself, or after `most_products`; the errors say
    which. The least is what the same vectors show: often less exact, and for a positive semi-definite matrix near 0.

    Source: Golub and Van Loan 2013, Matrix Computations, 4th edition, sections 10.1 to 10.3. ARPACK, by SciPy, makes at
    least 20 products before it looks; the Hessian of a trained network is known after a third of that.
    """
    most = min(most_products, size)
    basis = np.zeros((most, size))
    diagonal, beside = np.zeros(most), np.zeros(most)
    first = np.random.default_rng(seed).standard_normal(size)
    basis[0] = first / np.linalg.norm(first)
    for n in range(1, most + 1):
        image = np.asarray(products(basis[n - 1 : n])[0], dtype=np.float64)
        diagonal[n - 1] = image @ basis[n - 1]
        for _ in range(2):  # once more: the first pass leaves what rounding brings back
            image = image - basis[:n].T @ (basis[:n] @ image)
        beside[n - 1] = np.linalg.norm(image)
        off = beside[: n - 1]
        values, vectors = np.linalg.eigh(np.diag(diagonal[:n]) + np.diag(off, 1) + np.diag(off, -1))
        errors = beside[n - 1] * np.abs(vectors[-1])
        is_whole = beside[n - 1] <= 1e-12 * np.abs(values).max()  # the space is invariant: nothing is left to find
        if n == most or is_whole or (n > 2 and errors[-1] <= tolerance * abs(values[-1])):
            break
        basis[n] = image / beside[n - 1]
    return Extremes(float(values[-1]), float(errors[-1]), float(values[0]), float(errors[0]), n)


class Trace(NamedTuple):
    value: float
    standard_error: float


def trace(products: Products, size: int, *, n_vectors: int = 16, seed: int = 0) -> Trace:
    """Hutchinson's estimate: the mean of z . A z over vectors z of random signs; exact for a diagonal matrix.

    Source: Hutchinson 1990, A stochastic estimator of the trace of the influence matrix, Comm. in Statistics 19(2).
    """
    rng, estimates = np.random.default_rng(seed), np.empty(n_vectors)
    for i in range(n_vectors):
        signs = rng.integers(0, 2, (1, size)) * 2.0 - 1
        estimates[i] = signs[0] @ products(signs)[0]
    return Trace(float(estimates.mean()), float(estimates.std(ddof=1) / np.sqrt(n_vectors)))


class Chains(NamedTuple):
    """What chains met on their way, the start left out."""

    excess: Float[np.ndarray, "chain draw"]  # loss there less loss at the start, both on the draw's own batch
    temperature: Float[np.ndarray, "chain draw"]  # 1 on average where chains have settled and steps are short


class Dynamics(NamedTuple):
    """The posterior exp(-n_beta loss - localisation |w - start|^2 / 2), and the size of a step towards it."""

    step_size: float  # the variance of the noise that a step adds to each parameter
    n_beta: float
    localisation: float


def sgld(
    oracle: Oracle, losses: Losses, start: Float[np.ndarray, " parameter"], dynamics: Dynamics, *,
    n_chains: int, n_draws: int, seed: int = 0,
) -> Chains:  # fmt: skip
    """Chains from `start`: w <- w - (step_size / 2) slope + noise of variance step_size, in the precision of `start`.

    A draw's loss is held against that of the start on the same batch: on another, its noise would drown the excess.
    The temperature is the mean over parameters of (w - start) x slope, by equipartition 1 under the posterior: below,
    chains are still on their way out; above, steps are too long or batches too noisy (1 / (1 - step_size h / 4) of a
    quadratic of bend h). A Metropolis test would judge a large model for directions that no estimate depends on.

    Source: for the temperature, Tolman 1918, A general theory of energy partition (Physical Review 11(4)).
    """
    rng, kind = np.random.default_rng(seed), start.dtype.type
    away = np.zeros((n_chains, start.size), dtype=start.dtype)
    excess, temperature = np.empty((n_chains, n_draws)), np.empty((n_chains, n_draws))
    for draw in range(-1, n_draws):  # the first is the start itself, where nothing is drawn
        loss, gradient = oracle(start + away, max(draw, 0))
        slope = np.multiply(gradient, kind(dynamics.n_beta))
        slope += kind(dynamics.localisation) * away
        if draw >= 0:
            excess[:, draw] = loss - losses(start[None], draw)
            temperature[:, draw] = np.einsum("cp,cp->c", away, slope, dtype=np.float64) / start.size
        move = rng.standard_normal(away.shape, dtype=kind)
        move *= kind(np.sqrt(dynamics.step_size))
        slope *= kind(dynamics.step_size / 2)
        move -= slope
        away += move
    return Chains(excess, temperature)


def split_r_hat(draws: Float[np.ndarray, "chain draw"]) -> float:
    """How much farther apart the halves of all chains are than each of them is wide: 1 where they agree, NaN if still.

    Source: Gelman et al. 2013, Bayesian Data Analysis, 3rd edition, section 11.4 (split R-hat).
    """
    half = draws.shape[1] // 2
    if half < 2:
        return float("nan")
    halves = np.concatenate([draws[:, :half], draws[:, -half:]])
    within = halves.var(axis=1, ddof=1).mean()
    between = half * halves.mean(axis=1).var(ddof=1)
    return float(np.sqrt(((half - 1) / half * within + between / half) / within)) if within > 0 else float("nan")
