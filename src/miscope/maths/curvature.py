"""Eigenvalues and trace of a symmetric matrix that is known only by its products with vectors.

Source: at each function.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Products = Callable[[Float[np.ndarray, "n parameter"]], Float[np.ndarray, "n parameter"]]


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
