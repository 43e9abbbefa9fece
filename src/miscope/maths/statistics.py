"""Losses, concentration, when a condition comes to hold, and what a linear readout can tell."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

Allowed = Bool[np.ndarray, "batch vocab"]
Values = Float[np.ndarray, "batch dim"]
Labels = Int[np.ndarray, "label batch"]
Fitted = Bool[np.ndarray, " batch"]


class Answers(NamedTuple):
    """What a model says of each input, against the right answer (float64)."""

    loss: Float[np.ndarray, " batch"]  # cross-entropy in nats
    margin: Float[np.ndarray, " batch"]  # right logit minus the best wrong one; above 0: answered right


def answers(
    logits: Float[np.ndarray, "batch vocab"], targets: Int[np.ndarray, " batch"], allowed: Allowed | None = None
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
    z -= best_wrong[:, None]
    wrong = np.log(np.exp(z, out=z).sum(axis=1)) + best_wrong - right
    loss = np.maximum(wrong, 0) + np.log1p(np.exp(-np.abs(wrong)))  # log(1 + exp): a loss of 1e-20 keeps its digits
    return Answers(loss, right - best_wrong if margin is None else margin)


def _best(z: Float[np.ndarray, "batch vocab"], among: Allowed) -> Float[np.ndarray, " batch"]:
    return np.where(among, z, -np.inf).max(axis=1)


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


def ridge_accuracies(values: Values, labels: Labels, is_fitted: Fitted, ridge: float) -> Float[np.ndarray, " label"]:
    """For each row of class numbers, the share of the inputs not fitted whose class the ridge classifier finds.

    Both sides are centred on the inputs fitted; `ridge` is added to the covariance in units of its mean eigenvalue, so
    that no rescaling or rotation of `values` changes an answer; where they do not vary, it is the largest class.

    Source: Hastie, Tibshirani and Friedman 2009, The Elements of Statistical Learning, sections 3.4.1 and 4.2.
    """
    x = values.astype(np.float64)
    x -= x[is_fitted].mean(axis=0)
    covariance = x[is_fitted].T @ x[is_fitted]
    scale = covariance.trace() / len(covariance)
    if not scale:
        return majority_accuracies(labels, is_fitted)
    covariance[np.diag_indices_from(covariance)] += ridge * scale
    return np.array([_accuracy(x, row, is_fitted, covariance) for row in labels])


def _accuracy(
    x: Values, labels: Int[np.ndarray, " batch"], is_fitted: Fitted, covariance: Float[np.ndarray, "dim dim"]
) -> float:
    """The one-hot targets are never formed: their product with the inputs is a sum per class, as these are centred."""
    classes, row = np.unique(labels, return_inverse=True)
    order = np.argsort(row[is_fitted], kind="stable")
    counts = np.bincount(row[is_fitted], minlength=len(classes))
    filled = np.flatnonzero(counts)
    sums = np.zeros((len(classes), x.shape[1]))
    sums[filled] = np.add.reduceat(x[is_fitted][order], np.cumsum(counts)[filled] - counts[filled], axis=0)
    scores = x[~is_fitted] @ np.linalg.solve(covariance, sums.T) + counts / counts.sum()
    return float((scores.argmax(axis=1) == row[~is_fitted]).mean())


def majority_accuracies(labels: Labels, is_fitted: Fitted) -> Float[np.ndarray, " label"]:
    """The share of the inputs not fitted that are of the class most frequent among those fitted."""
    largest = [np.bincount(row[is_fitted]).argmax() for row in labels]
    return np.array([(row[~is_fitted] == big).mean() for row, big in zip(labels, largest, strict=True)])
