"""Frequencies worth a colour of their own, and the colour of each, shared by views of neurons over training."""

import numpy as np

from miscope.renderers import theme

OTHER = "other"
LARGEST = 7  # so many frequencies get a colour; the rest are grey


def named(counts: np.ndarray, n_neurons: int, share: float = 0.05) -> list[int]:
    """Frequencies k that ever reach a share of the neurons, ascending; of many, the most populous at their height.

    `counts` is [step freq], k from 1.
    """
    top = counts.max(axis=0)
    order = np.argsort(-top, kind="stable")[:LARGEST]
    return sorted(int(k) + 1 for k in order if top[k] >= share * n_neurons)


def tones(frequencies: list[int]) -> dict[str, str]:
    """`k = 9` -> colour; other frequencies pale grey."""
    named_tones = {f"k = {k}": theme.PALETTE[i % len(theme.PALETTE)] for i, k in enumerate(frequencies)}
    return {**named_tones, OTHER: theme.PALE}


def names(peaks: np.ndarray, frequencies: list[int]) -> np.ndarray:
    """Position in `tones(frequencies)` of each peak frequency."""
    found = np.full(peaks.shape, len(frequencies), dtype=np.int16)
    for i, k in enumerate(frequencies):
        found[peaks == k] = i
    return found
