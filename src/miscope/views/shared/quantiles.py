"""A number per neuron as three curves over training."""

import numpy as np

QUANTILES = ("90 % quantile", "median", "10 % quantile")


def quantiles(values: np.ndarray) -> np.ndarray:
    """The `QUANTILES` of numbers per neuron, over all layers: [step layer neuron] to [quantile step]; NaN: of none."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    known = [row[~np.isnan(row)] for row in flat]
    return np.stack([np.quantile(row, (0.9, 0.5, 0.1)) if len(row) else np.full(3, np.nan) for row in known], axis=1)
