"""Shapes of curves.

Source: at each function.
"""

import numpy as np
from jaxtyping import Float


def signed_area(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Area enclosed by the curve through (x, y), closed from end to start by a chord; anticlockwise is positive.

    A curve that crosses itself counts each loop with its own sign.

    Source: the shoelace formula, Meister 1769.
    """
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def cosines(
    dots: Float[np.ndarray, " item"], squares: Float[np.ndarray, " item"], others: Float[np.ndarray, " item"]
) -> Float[np.ndarray, " item"]:
    """Cosines of angles from inner products and the two squared lengths, in [-1, 1]; NaN where a length is zero."""
    length = np.sqrt(squares * others)
    return np.clip(np.divide(dots, length, out=np.full_like(length, np.nan), where=length > 0), -1, 1)
