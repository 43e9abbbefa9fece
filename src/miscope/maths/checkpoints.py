"""Checkpoints as points in time that are unevenly spaced."""

import numpy as np
from jaxtyping import Float, Int


def time_weights(steps: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The time each checkpoint stands for: the mean of the gaps beside it, over the mean of all; even ones weigh 1."""
    if len(steps) < 2:
        return np.ones(len(steps))
    gaps = np.diff(steps).astype(np.float64)
    weights = (np.append(gaps[:1], gaps) + np.append(gaps, gaps[-1:])) / 2
    return weights / weights.mean()
