"""How many directions a matrix uses, and the principal components of a path that is too wide to hold a covariance."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

Gram = Float[np.ndarray, "n n"]  # inner products of n points
Kernel = Float32[np.ndarray, "n n"]


def participation_ratio(values: Float[np.ndarray, " rank"]) -> float:
    """(sum v)^2 / sum v^2: n when n values are equal, 1 when one has everything, 0 when all are zero.

    Source: Gao et al. 2017, doi:10.1101/214262, equation 3, there of eigenvalues, the squares of singular values.
    """
    values = np.asarray(values, dtype=np.float64)
    squares = (values**2).sum()
    return float(values.sum() ** 2 / squares) if squares else 0.0


def effective_rank(values: Float[np.ndarray, " rank"]) -> float:
    """exp of the entropy of singular values as shares; from 1 to their number, and 0 when all are zero.

    Source: Roy and Vetterli 2007, EUSIPCO, definition 1.
    """
    values = np.asarray(values, dtype=np.float64)
    shares = values[values > 0] / values.sum() if values.any() else values[:0]
    return float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0


def spectrum(matrix: Float[np.ndarray, "row column"]) -> Float[np.ndarray, " rank"]:
    """Singular values in float64, descending."""
    return np.linalg.svd(np.asarray(matrix, dtype=np.float64), compute_uv=False)


class PrincipalComponents(NamedTuple):
    """Scores of n weighted points on their principal components, and each component's share of the variance."""

    scores: Float[np.ndarray, "n component"]  # in the units of the points; each component's largest one is positive
    shares: Float[np.ndarray, " component"]  # descending; of the total variance, so they may sum to less than 1


def principal_components(gram: Gram, weights: Float[np.ndarray, " n"], n_components: int) -> PrincipalComponents:
    """Exact PCA of n points from their inner products alone: n x n, however wide the points are.

    `gram` is of points centred on their mean under `weights`. Points that do not differ have scores and shares 0.

    Source: Schoelkopf et al. 1998, doi:10.1162/089976698300017467, section 2 (linear kernel).
    """
    root = np.sqrt(weights)
    eigenvalues, vectors = np.linalg.eigh(root[:, None] * gram * root)
    order = np.argsort(eigenvalues)[::-1][:n_components]
    kept = np.clip(eigenvalues[order], 0, None)
    scores = vectors[:, order] * np.sqrt(kept) / root[:, None]
    largest = np.take_along_axis(scores, np.abs(scores).argmax(axis=0)[None], axis=0)
    total = np.clip(eigenvalues, 0, None).sum()
    return PrincipalComponents(scores * np.where(largest < 0, -1, 1), kept / total if total > 0 else kept)


def centred_gram(gram: Gram, weights: Float[np.ndarray, " n"]) -> Gram:
    """Inner products of the points after their mean under `weights` is taken away, from those before."""
    share = weights / weights.sum()
    row = gram @ share
    return gram - row[:, None] - row[None, :] + share @ row


def linear_cka(gram: Gram, other: Gram) -> float:
    """Similarity of two sets of n points by centred inner products: 1 under rotation and scaling; NaN where one is 0.

    Source: Kornblith et al. 2019, arXiv:1905.00414, section 3.
    """
    size = np.linalg.norm(gram) * np.linalg.norm(other)
    return float((gram * other).sum() / size) if size else float("nan")


def random_walk_shares(n_components: int) -> Float[np.ndarray, " component"]:
    """Shares of variance of a long, even random walk in high dimension: 6 / (pi^2 k^2), that is .608, .152, .068, ...

    Source: Antognini and Sohl-Dickstein 2018, arXiv:1806.08805, section 3.
    """
    return 6 / (np.pi * np.arange(1, n_components + 1)) ** 2


def kernel(values: Float[np.ndarray, "n dim"]) -> Kernel:
    """Inner products of inputs less their mean, 0 where all are one up to rounding; linear CKA is two kernels' cosine.

    Source: Kornblith et al. 2019, arXiv:1905.00414, section 3.
    """
    x = values.astype(np.float32)
    centred = x - x.mean(axis=0, dtype=np.float64).astype(np.float32)
    if np.vdot(centred, centred) <= 1e-12 * np.vdot(x, x):
        return np.zeros((len(x), len(x)), dtype=np.float32)
    return centred @ centred.T


def without_bias(gram: Kernel) -> Kernel:
    """The kernel of the debiased CKA: no input is compared with itself, and rows sum to zero without the diagonal.

    Source: Song et al. 2012, JMLR 13, theorem 2 (the unbiased HSIC, as an inner product); Nguyen et al. 2021,
    arXiv:2010.15327, section 3 (its use in CKA).
    """
    n, open_ = len(gram), gram.astype(np.float64)
    np.fill_diagonal(open_, 0)
    rows = open_.sum(axis=0) / (n - 2)
    centred = open_ - rows - rows[:, None] + rows.sum() / (n - 1)
    np.fill_diagonal(centred, 0)
    return centred.astype(np.float32)


def cosines_of_all(kernels: Float32[np.ndarray, "item cell"]) -> Float32[np.ndarray, "item item"]:
    """Cosine of every two rows, which it scales to length 1; 1 on the diagonal, NaN where a row is zero."""
    sizes = np.sqrt(np.einsum("ij,ij->i", kernels, kernels, dtype=np.float64))
    kernels /= np.where(sizes > 0, sizes, 1)[:, None].astype(np.float32)
    cosines = np.clip(kernels @ kernels.T, -1, 1)
    np.fill_diagonal(cosines, 1)
    cosines[sizes == 0] = cosines[:, sizes == 0] = np.nan
    return cosines


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


def dimension(gram: Kernel) -> float:
    """Participation ratio of a kernel's eigenvalues; NaN where it is zero.

    Two kernels of n inputs with dimensions g and h and nothing else in common have a mean CKA of sqrt(g h) / (n - 1).

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
