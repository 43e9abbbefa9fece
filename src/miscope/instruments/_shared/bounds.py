"""A curve with its bounds: a value, and as much above and below it as it may be off or vary."""

import numpy as np
from jaxtyping import Float

from miscope.renderers import theme


def colors_of(value: str, error: str) -> dict[str, str]:
    """Three curves and their colours; the bounds are pale."""
    return {value: theme.PALETTE[0], f"{value} + {error}": theme.PALE, f"{value} - {error}": theme.PALE}


def around(value: Float[np.ndarray, " point"], error: Float[np.ndarray, " point"]) -> Float[np.ndarray, "curve point"]:
    """In the order of `colors_of`."""
    return np.stack([value, value + error, value - error])
