"""Losses, concentration, and when a condition comes to hold.

Source: at each function.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int


class Answers(NamedTuple):
    """What a model says of each input, against the right answer (float64)."""

    loss: Float[np.ndarray, " batch"]  # cross-entropy in nats
    margin: Float[np.ndarray, " batch"]  # right logit minus the best wrong one; above 0: answered right


def answers(
    logits: Float[np.ndarray, "batch vocab"],
    targets: Int[np.ndarray, " batch"],
    allowed: Bool[np.ndarray, "batch vocab"] | None = None,
) -> Answers:
    """Cross-entropy and margin of each input, computed in float64: float32 underflows near 1e-7 nats.

    Where several answers are `allowed`, the margin is the best of them minus the best of the others.

    Source: Nanda et al. 2023, arXiv:2301.05217, released code (`cross_entropy_high_precision`).
    """
    z = np.array(logits, dtype=np.float64)
    index = np.arange(len(z))
    right = z[index, targets]
    margin = None if allowed is None else _best(z, allowed) - _best(z, ~allowed)
    z[index, targets] = -np.inf
    best_wrong = z.max(axis=1)
    # log(1 + sum of exp(wrong - right)), so that a loss of 1e-20 keeps its digits
    loss = _softplus(_logsumexp(z, best_wrong) - right)
    return Answers(loss, right - best_wrong if margin is None else margin)


def _best(z: Float[np.ndarray, "batch vocab"], among: Bool[np.ndarray, "batch vocab"]) -> Float[np.ndarray, " batch"]:
    return np.where(among, z, -np.inf).max(axis=1)


def _logsumexp(
    z: Float[np.ndarray, "batch vocab"], largest: Float[np.ndarray, " batch"]
) -> Float[np.ndarray, " batch"]:
    """log of the sum of exp of each row; `z` is used up."""
    z -= largest[:, None]
    return np.log(np.exp(z, out=z).sum(axis=1)) + largest


def _softplus(x: Float[np.ndarray, " batch"]) -> Float[np.ndarray, " batch"]:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def herfindahl(counts: Int[np.ndarray, "... item"]) -> Float[np.ndarray, "..."]:
    """Sum of squared shares over the last axis: 1 / n when n share equally, 1 when one has all, NaN when there is none.

    Source: the Herfindahl-Hirschman index, Hirschman 1964, The American Economic Review 54(5).
    """
    total = counts.sum(axis=-1, keepdims=True)
    shares = np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
    return np.asarray((shares**2).sum(axis=-1))


def lasting_from(holds: Bool[np.ndarray, "n ..."]) -> Int[np.ndarray, "..."]:
    """Index from which a condition holds to the end of the first axis; its length where it does not hold at the end."""
    return np.asarray(len(holds) - np.cumprod(holds[::-1], axis=0, dtype=np.int64).sum(axis=0))
