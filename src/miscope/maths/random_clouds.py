"""What clouds and rings show that mean nothing: the numbers that one case in a hundred exceeds, from seeded draws.

Source: at each function.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from miscope.maths.clouds import RING_COMPONENTS, circularity, ring
from miscope.maths.null_distributions import RARE

DRAWS = 200
HEAD = 32  # dimensions; more make rings likelier


class Chance(NamedTuple):
    circularity: float
    alignment: float


@lru_cache(maxsize=16)
def rare_rings(n: int) -> Chance:
    """What centroids show that one untrained attention head makes of n answers a + b mod n: more than random points.

    Its centroid of an answer is the sum over a of a random score of a times a random vector of b. Over the answers the
    spectrum of that is the product of two, so that a few frequencies have most of it in all components.
    """
    rng = np.random.default_rng(0)
    drawn = [_ring_of(_head(n, rng)) for _ in range(DRAWS)]
    return Chance(*np.quantile(drawn, 1 - RARE, axis=0).tolist())


def _head(n: int, rng: np.random.Generator) -> Float[np.ndarray, "n component"]:
    """The centroids' scores on their largest principal components."""
    score, vectors = np.fft.fft(rng.normal(size=(n, 1)), axis=0), np.fft.fft(rng.normal(size=(n, HEAD)), axis=0)
    score[0] = 0  # about their mean
    points = np.fft.ifft(score * vectors, axis=0).real
    return points @ np.linalg.eigh(points.T @ points)[1][:, ::-1][:, :RING_COMPONENTS]


def _ring_of(scores: Float[np.ndarray, "n component"]) -> Chance:
    return Chance(circularity(scores), ring(scores[:, 0], scores[:, 1]).alignment)


@lru_cache(maxsize=256)
def rare_snr(n_classes: int, n_points: int, dim: float) -> float:
    """Squared spread of the centroids over the mean squared radius, if classes are drawn at random.

    Of equal classes of Gaussian points whose participation ratio is `dim`.

    Source: one-way analysis of variance, Fisher 1925, Statistical Methods for Research Workers; Box 1954,
    doi:10.1214/aoms/1177728786 (the participation ratio as degrees of freedom).
    """
    between, within = n_classes - 1, n_points - n_classes
    drawn = np.random.default_rng(0).f(dim * between, dim * within, 100_000)
    return float(np.quantile(drawn, 1 - RARE)) * between / within


def rare_mean_of_pairs(
    values: Float[np.ndarray, "n n"], rows: Int[np.ndarray, " pair"], columns: Int[np.ndarray, " pair"]
) -> float:
    """The mean entry at these pairs, if the n are shuffled."""
    rng = np.random.default_rng(0)
    orders = (rng.permutation(len(values)) for _ in range(DRAWS))
    return float(np.quantile([values[order[rows], order[columns]].mean() for order in orders], 1 - RARE))
