"""Where a training is worth a closer look: the steps at which a metric moves, found from its whole curve."""

from collections.abc import Sequence

import numpy as np

from miscope.core import Adaptive
from miscope.training.run import Evaluation

SMOOTHED = 5  # evaluations, by a running median: single spikes attract no checkpoints


def adaptive_steps(curve: Sequence[Evaluation], adaptive: Adaptive) -> set[int]:
    """Steps that cut the path of the metric into equal parts: at most `adaptive.checkpoints`, by the curve alone.

    The path is the total variation of the metric, or of a loss's logarithm, after a running median of 5 evaluations: a
    descent gets most checkpoints, a plateau few.
    """
    steps = np.array([e.step for e in curve])
    values = np.array([getattr(e, adaptive.metric) for e in curve])
    if adaptive.metric.endswith("loss"):
        values = np.log10(np.maximum(values, 1e-12))
    moved = np.abs(np.diff(_running_median(values)))
    path = np.concatenate([[0.0], np.cumsum(moved)])
    if path[-1] == 0:
        return set()
    quantiles = path[-1] * (np.arange(adaptive.checkpoints) + 0.5) / adaptive.checkpoints
    return {int(step) for step in steps[np.searchsorted(path, quantiles)]}


def _running_median(values: np.ndarray) -> np.ndarray:
    half = SMOOTHED // 2
    padded = np.pad(values, half, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, SMOOTHED), axis=-1)
