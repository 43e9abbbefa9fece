"""How many directions a matrix uses, and the principal components of a path that is too wide to hold a covariance.

Source: at each function.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


def participation_ratio(values: Float[np.ndarray, " rank"]) -> float:
    """(sum v)^2 / sum v^2: n when n values are equal, 1 when one has everything, 0 when all are zero.

    Of singular values it is ours; of covariance eigenvalues (their squares) it is the smaller number that
    papers on dimensionality give. Say which.

    Source: Gao et al. 2017, doi:10.1101/214262, equation 3.
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

    scores: Float[np.ndarray, "n component"]  # in the units of the points
    shares: Float[np.ndarray, " component"]  # descending; of the total variance, so they may sum to less than 1


def principal_components(
    gram: Float[np.ndarray, "n n"], weights: Float[np.ndarray, " n"], n_components: int
) -> PrincipalComponents:
    """Exact PCA of n points from their inner products alone: n x n, however wide the points are.

    `gram` is of points centred on their mean under `weights`. Each component's score of largest magnitude is positive.
    Points that do not differ have scores and shares 0.

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


def centred_gram(gram: Float[np.ndarray, "n n"], weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n n"]:
    """Inner products of the points after their mean under `weights` is taken away, from those before."""
    share = weights / weights.sum()
    row = gram @ share
    return gram - row[:, None] - row[None, :] + share @ row


def linear_cka(gram: Float[np.ndarray, "n n"], other: Float[np.ndarray, "n n"]) -> float:
    """Similarity in [0, 1] of two descriptions of n points, from their centred inner products; NaN if one is constant.

    1 under rotation and isotropic scaling.

    Source: Kornblith et al. 2019, arXiv:1905.00414, section 3.
    """
    size = np.linalg.norm(gram) * np.linalg.norm(other)
    return float((gram * other).sum() / size) if size else float("nan")


def random_walk_shares(n_components: int) -> Float[np.ndarray, " component"]:
    """Shares of variance that a random walk in high dimension gives its principal components: 6 / (pi^2 k^2).

    The null of every trajectory PCA: .608, .152, .068, ... with nothing learned. For points that are even in time.

    Source: Antognini and Sohl-Dickstein 2018, arXiv:1806.08805, section 3.
    """
    return 6 / (np.pi * np.arange(1, n_components + 1)) ** 2
