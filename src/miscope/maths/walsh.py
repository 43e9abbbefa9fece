"""Harmonic analysis on the cube of n bits: the characters chi_S(x) = (-1)^(sum of x_i over i in S).

Source: O'Donnell 2014, Analysis of Boolean Functions, section 1.2 (the Fourier expansion; Parseval in 1.4).
"""

import numpy as np
from jaxtyping import Float, Int


def walsh_transform(values: Float[np.ndarray, "*bit"]) -> Float[np.ndarray, "*bit"]:
    """The coefficients 2^-n sum_x f(x) chi_S(x) of a function of n bits, laid out as f is: S at the bits that it holds.

    float64. The squares sum to the mean of f^2 (Parseval). A character has 1 in its own place and 0 elsewhere; applied
    twice, the transform is f / 2^n.

    Raises:
        ValueError: an axis is not of size 2.
    """
    if any(size != 2 for size in values.shape):
        raise ValueError(f"a function of bits has axes of size 2 alone; found the shape {values.shape}")
    found = values.astype(np.float64)
    for axis in range(values.ndim):
        zero, one = np.moveaxis(found, axis, 0)
        found = np.stack([zero + one, zero - one], axis=axis) / 2
    return found


def bits(codes: Int[np.ndarray, " input"], n: int) -> Int[np.ndarray, "input bit"]:
    """The n binary digits of each code, the first bit the most significant: inputs of a cube in C order."""
    return codes[:, None] >> np.arange(n)[::-1] & 1
