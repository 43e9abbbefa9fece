"""A curve with its bounds: a value, and as much above and below it as it may be off or vary."""

import numpy as np

from miscope.renderers import theme


def tones(value: str, error: str) -> dict[str, str]:
    """Three curves and their colours; the bounds are pale."""
    return {value: theme.PALETTE[0], f"{value} + {error}": theme.PALE, f"{value} - {error}": theme.PALE}


def around(value: np.ndarray, error: np.ndarray) -> np.ndarray:
    """[curve ...], in the order of `tones`."""
    return np.stack([value, value + error, value - error])
