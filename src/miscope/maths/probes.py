"""What a linear readout of activations can tell: ridge regression onto one-hot classes, in closed form.

Source: Hastie, Tibshirani and Friedman 2009, The Elements of Statistical Learning, sections 3.4.1 and 4.2.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import cho_factor, cho_solve


def ridge_accuracies(
    values: Float[np.ndarray, "batch dim"],
    labels: Int[np.ndarray, "label batch"],
    is_fitted: Bool[np.ndarray, " batch"],
    ridge: float,
) -> Float[np.ndarray, " label"]:
    """For each row of class numbers, the share of the inputs not fitted whose class the ridge classifier finds.

    Both sides are centred on the inputs fitted; `ridge` is added to the covariance in units of its mean eigenvalue, so
    that no rescaling or rotation of `values` changes an answer. One factorisation serves all labels. Values that do
    not vary tell nothing: then the answer is the largest class.
    """
    x = values.astype(np.float64)
    x -= x[is_fitted].mean(axis=0)
    fitted, held = x[is_fitted], x[~is_fitted]
    classes = [np.unique(row, return_inverse=True)[1] for row in labels]
    targets = np.concatenate([np.eye(row.max() + 1)[row[is_fitted]] for row in classes], axis=1)
    share = targets.mean(axis=0)
    scores = held @ _slopes(fitted, targets - share, ridge) + share
    ends = np.cumsum([row.max() + 1 for row in classes])[:-1]
    found = [part.argmax(axis=1) for part in np.split(scores, ends, axis=1)]
    return np.array([(f == row[~is_fitted]).mean() for f, row in zip(found, classes, strict=True)])


def majority_accuracies(
    labels: Int[np.ndarray, "label batch"], is_fitted: Bool[np.ndarray, " batch"]
) -> Float[np.ndarray, " label"]:
    """The share of the inputs not fitted that are of the class most frequent among those fitted."""
    largest = [np.bincount(row[is_fitted]).argmax() for row in labels]
    return np.array([(row[~is_fitted] == big).mean() for row, big in zip(labels, largest, strict=True)])


def _slopes(
    x: Float[np.ndarray, "batch dim"], y: Float[np.ndarray, "batch cls"], ridge: float
) -> Float[np.ndarray, "dim cls"]:
    covariance = x.T @ x
    scale = covariance.trace() / len(covariance)
    if not scale:
        return np.zeros((x.shape[1], y.shape[1]))
    covariance[np.diag_indices_from(covariance)] += ridge * scale
    return np.asarray(cho_solve(cho_factor(covariance), x.T @ y))
