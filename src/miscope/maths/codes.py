"""Matrices in few bits, to be stored: each column on a scale of its own, in evenly spaced levels.

Source: uniform quantization, Bennett 1948, doi:10.1002/j.1538-7305.1948.tb01340.x (errors even over one level).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

WORD = 16  # bits that a code is counted in, before those that it does not need are taken off


class Codes(NamedTuple):
    """A matrix whose entry is `low + unit * code`, off by half of its column's `unit` at most.

    A column that is the same in all rows has unit 0 and takes no room; one with an entry that is not finite is NaN.
    """

    code: UInt8[np.ndarray, " byte"]  # those of the columns that vary, in C order, packed without gaps
    low: Float32[np.ndarray, " column"]  # the least of the column
    unit: Float32[np.ndarray, " column"]


def quantize(values: Float32[np.ndarray, "row column"], bits: int) -> Codes:
    """In 2^bits levels from the least to the largest of each column; `bits` is 16 at most."""
    is_there = np.isfinite(values).all(axis=0)
    x = np.where(is_there, values, np.float32(0))
    low, levels = x.min(axis=0), 2**bits - 1
    unit = (x.max(axis=0) - low) / np.float32(levels)
    varies = unit > 0
    code = np.clip(np.rint((x - low)[:, varies] / unit[varies]), 0, levels).astype(">u2")
    words = np.unpackbits(np.ascontiguousarray(code).view(np.uint8).reshape(-1, 2), axis=1)  # the highest bit first
    return Codes(np.packbits(words[:, WORD - bits :]), np.where(is_there, low, np.float32("nan")), unit)


def dequantize(codes: Codes, n_rows: int, bits: int) -> Float32[np.ndarray, "row column"]:
    """The matrix of so many rows that was quantized to so many bits."""
    varies = codes.unit > 0
    n = n_rows * int(varies.sum())
    words = np.pad(np.unpackbits(codes.code, count=n * bits).reshape(n, bits), ((0, 0), (WORD - bits, 0)))
    levels = np.packbits(words, axis=1).view(">u2")[:, 0].astype(np.float32)
    values = np.tile(codes.low, (n_rows, 1))
    values[:, varies] += codes.unit[varies] * levels.reshape(n_rows, -1)
    return values
