"""How alike two descriptions of the same inputs are, from the inner products between the inputs.

Source: at each function.
"""

import numpy as np
from jaxtyping import Float, Float32


def kernel(values: Float[np.ndarray, "n dim"]) -> Float32[np.ndarray, "n n"]:
    """Inner products of the inputs after their mean is taken away: linear CKA is the cosine of two of these.

    Zero where all inputs are one up to rounding.

    Source: Kornblith et al. 2019, arXiv:1905.00414, section 3.
    """
    x = values.astype(np.float32)
    centred = x - x.mean(axis=0, dtype=np.float64).astype(np.float32)
    if np.vdot(centred, centred) <= 1e-12 * np.vdot(x, x):
        return np.zeros((len(x), len(x)), dtype=np.float32)
    return centred @ centred.T


def without_bias(gram: Float32[np.ndarray, "n n"]) -> Float32[np.ndarray, "n n"]:
    """The kernel of the debiased CKA: no input is compared with itself, and rows sum to zero without the diagonal.

    Source: Song et al. 2012, JMLR 13, theorem 2 (the unbiased HSIC, as an inner product); Nguyen et al. 2021,
    arXiv:2010.15327, section 3 (its use in CKA).
    """
    n = len(gram)
    open_ = gram.astype(np.float64)
    np.fill_diagonal(open_, 0)
    rows = open_.sum(axis=0) / (n - 2)
    centred = open_ - rows - rows[:, None] + rows.sum() / (n - 1)
    np.fill_diagonal(centred, 0)
    return centred.astype(np.float32)


def cosines_of_all(kernels: Float32[np.ndarray, "item cell"]) -> Float32[np.ndarray, "item item"]:
    """Cosine of every two rows, in [-1, 1] and 1 on the diagonal; NaN where a row is zero.

    `kernels` is used up: its rows are scaled to length 1.
    """
    sizes = np.sqrt(np.einsum("ij,ij->i", kernels, kernels, dtype=np.float64))
    kernels /= np.where(sizes > 0, sizes, 1)[:, None].astype(np.float32)
    found = np.clip(kernels @ kernels.T, -1, 1)
    np.fill_diagonal(found, 1)
    found[sizes == 0] = found[:, sizes == 0] = np.nan
    return found


def turns(units: Float32[np.ndarray, "item cell"]) -> Float[np.ndarray, " pair"]:
    """Angle in degrees between each two neighbouring rows of length 1; NaN where one is zero.

    From the length of their difference, as near 1 a cosine has lost its digits. Angles obey the triangle inequality,
    so that finer steps see the same way; 1 minus a cosine does not.

    Source: Williams et al. 2021, arXiv:2110.14739, section 2 (arccos of CKA is a metric).
    """
    chords = np.linalg.norm(np.diff(units, axis=0), axis=1).astype(np.float64)
    is_there = np.asarray(units.any(axis=1))
    degrees = np.degrees(2 * np.arcsin(np.clip(chords / 2, 0, 1)))
    return np.where(is_there[:-1] & is_there[1:], degrees, np.nan)


def dimension(gram: Float32[np.ndarray, "n n"]) -> float:
    """Participation ratio of a kernel's eigenvalues; NaN where it is zero.

    Two kernels on n inputs that have dimensions g and h and nothing else in common have CKA sqrt(g h) / (n - 1) in the
    mean over rotations of the inputs' space.

    Source: Gao et al. 2017, doi:10.1101/214262, equation 3; the chance level is ours: the mean of tr(K Q L Q') over
    rotations Q of the n - 1 dimensions that centring leaves is tr(K) tr(L) / (n - 1).
    """
    square = float(np.vdot(gram, gram))
    return float(gram.trace(dtype=np.float64)) ** 2 / square if square else float("nan")


def gaussian_cka(n: int, dim: int) -> float:
    """Linear CKA of two independent n x dim matrices of Gaussians: dim / (n + dim), so a half where they are square.

    Exact as a ratio of means: those of <K, L> and <K, K> are d^2 m and d m (m + d + 1) with m = n - 1.

    Source: moments of the Wishart distribution, Muirhead 1982, Aspects of Multivariate Statistical Theory, section 3.2.
    """
    return dim / (n + dim)
