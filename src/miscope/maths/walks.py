"""Paths of points, uneven in time, and random walks with moves as long: what if the path's directions meant nothing?"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from miscope.maths.null_distributions import RARE

Points = Float[np.ndarray, "n dim"]
Moves = Float[np.ndarray, " interval"]
Weights = Float[np.ndarray, " n"]
Items = Float[np.ndarray, " item"]
DIMENSIONS = 100  # fewer than weights have, as noise does not go into all of them alike; a path in few bends less
DRAWS = 100
COINS = 10_000


def random_walks(lengths: Moves, drift: Float[np.ndarray, " n"], seed: int = 0) -> Iterator[Points]:
    """Seeded walks from the origin, moves of these lengths in any direction; `drift` goes along an axis of its own."""
    rng = np.random.default_rng(seed)
    for _ in range(DRAWS):
        moves = rng.normal(size=(len(lengths), DIMENSIONS))
        moves *= (lengths / np.linalg.norm(moves, axis=1))[:, None]
        yield np.column_stack([np.vstack([np.zeros(DIMENSIONS), np.cumsum(moves, axis=0)]), drift])


def shares(points: Points, weights: Weights) -> Float[np.ndarray, " component"]:
    """Of the variance of weighted points, what each principal component has, descending; 0 where they do not differ."""
    x = _centred(points, weights)
    values = np.linalg.eigvalsh(x @ x.T if len(x) <= x.shape[1] else x.T @ x)[::-1].clip(0)
    return values / values.sum() if values.sum() else values


def proximity(points: Points, others: Float[np.ndarray, "n wide"], weights: Weights) -> float:
    """Linear CKA of two sets of weighted points; NaN where one set is a single point.

    Source: Kornblith et al. 2019, arXiv:1905.00414, section 3.
    """
    x, y = _centred(points, weights), _centred(others, weights)
    size = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float((np.linalg.norm(x.T @ y) ** 2) / size) if size else float("nan")


def _centred(points: Points, weights: Weights) -> Points:
    return np.sqrt(weights)[:, None] * (points - weights @ points / weights.sum())


def straightness_of_coins(cosines: Float[np.ndarray, " corner"]) -> float:
    """The mean cosine that one walk in a hundred exceeds if a coin says whether each move goes back; NaN of none."""
    if not len(cosines):
        return float("nan")
    signs = np.random.default_rng(0).integers(0, 2, size=(COINS, len(cosines)), dtype=np.int8) * 2 - 1
    return float(np.quantile(signs @ np.abs(cosines) / len(cosines), 1 - RARE, method="higher")) + 1e-12  # rounding


def burst(moves: Moves, gaps: Moves, least: float = 0.0) -> float:
    """How many times the median move the largest is, in whichever way moves grow with the time between checkpoints.

    The least, if moves grow as the gap (a straight way), as its root (a random walk) or not at all (noise about a
    place). Moves below `least` count as that much; NaN for fewer than three.
    """
    if len(moves) < 3 or not np.median(np.maximum(moves, least)):
        return float("nan")
    paces = [np.maximum(moves, least) / gaps**power for power in (0.0, 0.5, 1.0)]
    return min(float(pace.max()) / float(np.median(pace)) for pace in paces)


def time_weights(steps: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The time each checkpoint stands for: the mean of the gaps beside it, over the mean of all; even ones weigh 1."""
    if len(steps) < 2:
        return np.ones(len(steps))
    gaps = np.diff(steps).astype(np.float64)
    weights = (np.append(gaps[:1], gaps) + np.append(gaps, gaps[-1:])) / 2
    return weights / weights.mean()


def signed_area(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Area in the curve through (x, y), closed by a chord; anticlockwise is positive, and each loop has its own sign.

    Source: the shoelace formula, Meister 1769.
    """
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def cosines(dots: Items, squares: Items, others: Items) -> Items:
    """Cosines of angles from inner products and the two squared lengths, in [-1, 1]; NaN where a length is zero."""
    length = np.sqrt(squares * others)
    return np.clip(np.divide(dots, length, out=np.full_like(length, np.nan), where=length > 0), -1, 1)
