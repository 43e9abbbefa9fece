"""What a linear readout of activations can tell: ridge regression onto one-hot classes, in closed form.

Source: Hastie, Tibshirani and Friedman 2009, The Elements of Statistical Learning, sections 3.4.1 and 4.2.
"""

import numpy as np
from jaxtyping import Bool, Float, Int


def ridge_accuracies(
    values: Float[np.ndarray, "batch dim"],
    labels: Int[np.ndarray, "label batch"],
    is_fitted: Bool[np.ndarray, " batch"],
    ridge: float,
) -> Float[np.ndarray, " label"]:
    """For each row of class numbers, the share of the inputs not fitted whose class the ridge classifier finds.

    Both sides are centred on the inputs fitted; `ridge` is added to the covariance in units of its mean eigenvalue, so
    that no rescaling or rotation of `values` changes an answer. Values that do
    not vary tell nothing: then the answer is the largest class.
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
    x: Float[np.ndarray, "batch dim"],
    labels: Int[np.ndarray, " batch"],
    is_fitted: Bool[np.ndarray, " batch"],
    covariance: Float[np.ndarray, "dim dim"],
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


def majority_accuracies(
    labels: Int[np.ndarray, "label batch"], is_fitted: Bool[np.ndarray, " batch"]
) -> Float[np.ndarray, " label"]:
    """The share of the inputs not fitted that are of the class most frequent among those fitted."""
    largest = [np.bincount(row[is_fitted]).argmax() for row in labels]
    return np.array([(row[~is_fitted] == big).mean() for row, big in zip(labels, largest, strict=True)])
