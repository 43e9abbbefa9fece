"""Singular values of matrices of independent Gaussian numbers, without drawing the matrices.

Source: Dumitriu and Edelman 2002, arXiv:math-ph/0206043, section 3 (the bidiagonal model of Wishart matrices).
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float

DRAWS, VALUES = 64, 16_384  # matrices per shape; fewer of wide ones, whose numbers hardly differ: so many values in all


@lru_cache(maxsize=64)
def gaussian_spectra(rows: int, columns: int) -> Float[np.ndarray, "draw rank"]:
    """Descending singular values of Gaussian matrices, each of Frobenius norm 1; the same ones for a shape.

    A Gaussian matrix has the singular values of a bidiagonal one of independent chi variables, whose squares are the
    eigenvalues of a tridiagonal matrix: a rank of 768 takes 11 ms.
    """
    rank, rng = min(rows, columns), np.random.default_rng(0)
    n = max(8, min(DRAWS, VALUES // rank))
    found = np.stack([_spectrum(max(rows, columns), rank, rng) for _ in range(n)])
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    found.flags.writeable = False
    return found


def _spectrum(longer: int, rank: int, rng: np.random.Generator) -> Float[np.ndarray, " rank"]:
    from scipy.linalg import eigvalsh_tridiagonal

    diagonal = rng.chisquare(longer - np.arange(rank))
    beside = rng.chisquare(np.arange(rank - 1, 0, -1))
    squares = diagonal + np.concatenate([[0.0], beside])
    if rank == 1:
        return np.sqrt(squares)
    values = eigvalsh_tridiagonal(squares, np.sqrt(diagonal[:-1] * beside), lapack_driver="sterf")
    return np.asarray(np.sqrt(np.maximum(values[::-1], 0)))
