"""Clouds of points: how wide they are, how many directions they fill, how far apart they lie, whether on a ring."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from miscope.maths.null_distributions import RARE
from miscope.maths.spectra import Basis, energy_by_frequency

Points = Float[np.ndarray, "n dim"]
Scores = Float[np.ndarray, "n component"]
Pairs = Float[np.ndarray, "n n"]
CLOUDS = 200
HEAD = 32  # dimensions; more make rings likelier
RING_COMPONENTS = 4  # of how many principal components the circularity is the mean


class Clouds(NamedTuple):
    """One cloud of points per class."""

    centroid: Float[np.ndarray, "cls dim"]
    variance: Float[np.ndarray, " cls"]  # mean squared distance from the centroid; 0 where all points are one
    participation_ratio: Float[np.ndarray, " cls"]  # of the covariance's eigenvalues; NaN where all points are one


def clouds(values: Float[np.ndarray, "batch dim"], ends: Int[np.ndarray, " cls"]) -> Clouds:
    """Of points sorted by class, class i ending before row `ends[i]`; sums of squares in the precision of `values`.

    (sum l)^2 / sum l^2 is tr(G)^2 / ||G||_F^2 of the Gram matrix G of centred points, which count as one if they differ
    by less than 1e-6 of their size. Of n points it is at most n - 1, and 1 / it is too large by about 1 / n.

    Source: Gao et al. 2017, doi:10.1101/214262, equation 3.
    """
    centroid, variance, ratio = zip(*map(_cloud, np.split(values, ends[:-1])), strict=True)
    return Clouds(np.stack(centroid), np.array(variance), np.array(ratio))


def _cloud(points: Points) -> tuple[Float[np.ndarray, " dim"], float, float]:
    mean = points.mean(axis=0, dtype=np.float64)
    centred = points - mean.astype(points.dtype)
    trace = float(np.vdot(centred, centred))
    if trace <= 1e-12 * len(points) * float(mean @ mean):
        return mean, 0.0, float("nan")
    gram = centred @ centred.T if len(points) <= points.shape[1] else centred.T @ centred
    return mean, trace / len(points), trace**2 / float(np.vdot(gram, gram))


def squared_distances(points: Points) -> Pairs:
    """Between every two points; in float64, on centred points, so that near ones keep their digits."""
    x = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    squares = np.einsum("ij,ij->i", x, x)
    return np.clip(squares[:, None] + squares - 2 * (x @ x.T), 0, None)


def least_of_pairs(values: Pairs) -> tuple[float, int, int]:
    """The least entry above the diagonal of a symmetric matrix, its row and its column; NaN, 0, 0 where all are NaN."""
    rows, columns = np.triu_indices(len(values), 1)
    entries = values[rows, columns]
    if np.isnan(entries).all():
        return float("nan"), 0, 0
    at = int(np.nanargmin(entries))
    return float(entries[at]), int(rows[at]), int(columns[at])


class Components(NamedTuple):
    """Points in the axes of their greatest variance, each axis turned so that its score of largest size is positive."""

    scores: Scores
    shares: Float[np.ndarray, " component"]  # of the variance; 0 where the points do not differ


def components(points: Points) -> Components:
    """All principal components of a few points, by the singular values of the centred points."""
    u, s, _ = np.linalg.svd(points.astype(np.float64) - points.mean(axis=0, dtype=np.float64), full_matrices=False)
    scores = u * s
    largest = np.take_along_axis(scores, np.abs(scores).argmax(axis=0)[None], axis=0)
    total = (s**2).sum()
    return Components(scores * np.where(largest < 0, -1, 1), s**2 / total if total else np.zeros_like(s))


def circularity(scores: Scores) -> float:
    """Mean over the first four components of the share that one frequency has of the component's energy; in [0, 1].

    The points are numbered around Z_n; 1 where each component is a wave of one frequency. Circles of equal size share
    their components in any rotation, which lowers it. Components without variance are left out.

    Source: Zhong et al. 2023, arXiv:2306.17844, appendix on circularity (there of the embedding).
    """
    energy = energy_by_frequency(basis_of(len(scores)), scores[:, :RING_COMPONENTS])
    total = energy.sum(axis=0)
    varies = total > 1e-12 * total.max(initial=0)
    return float((energy.max(axis=0)[varies] / total[varies]).mean()) if varies.any() else float("nan")


class Ring(NamedTuple):
    """How well n points in a plane follow one another around the origin."""

    alignment: float  # in [0, 1]; 1: point r stands at the angle 2 pi k r / n, up to a turn
    frequency: int  # k, from 1 to n // 2, whichever way round


def ring(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> Ring:
    """Length of the mean of exp(i (angle - 2 pi k r / n)) over points r, at the k at which it is longest.

    Source: the resultant length of directional statistics, Mardia and Jupp 2000, Directional Statistics, section 2.3.
    """
    n = len(x)
    lengths = np.abs(np.fft.fft(np.exp(1j * np.arctan2(y, x)))) / n
    k = 1 + int(lengths[1:].argmax())
    return Ring(float(lengths[k]), min(k, n - k))


@lru_cache(maxsize=16)
def basis_of(n: int) -> Basis:
    """The Fourier basis over n points in the order of their numbers."""
    return Basis("fourier", n)


class Chance(NamedTuple):
    circularity: float
    alignment: float


@lru_cache(maxsize=16)
def rare_rings(n: int) -> Chance:
    """What centroids show that one untrained attention head makes of n answers a + b mod n: more than random points.

    Its centroid of an answer is the sum over a of a random score of a times a random vector of b: over the answers the
    spectrum is a product, so that a few frequencies have most of it in all components.
    """
    rng, drawn = np.random.default_rng(0), []
    for _ in range(CLOUDS):
        score, vectors = np.fft.fft(rng.normal(size=(n, 1)), axis=0), np.fft.fft(rng.normal(size=(n, HEAD)), axis=0)
        score[0] = 0  # about their mean
        points = np.fft.ifft(score * vectors, axis=0).real
        scores = points @ np.linalg.eigh(points.T @ points)[1][:, ::-1][:, :RING_COMPONENTS]
        drawn.append((circularity(scores), ring(scores[:, 0], scores[:, 1]).alignment))
    return Chance(*np.quantile(drawn, 1 - RARE, axis=0).tolist())


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


def rare_mean_of_pairs(values: Pairs, rows: Int[np.ndarray, " pair"], columns: Int[np.ndarray, " pair"]) -> float:
    """The mean entry at these pairs, if the n are shuffled."""
    rng = np.random.default_rng(0)
    orders = (rng.permutation(len(values)) for _ in range(CLOUDS))
    return float(np.quantile([values[order[rows], order[columns]].mean() for order in orders], 1 - RARE))
