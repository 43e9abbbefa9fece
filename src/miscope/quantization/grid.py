"""The numbers that a quantized weight can be: integer codes times a scale per output, alike at 8 and at 4 bits.

At 8 bits a code is an integer up to the limit of what the kernel multiplies exactly. At 4 bits it is q * m, with q of
four bits and m a small integer that a group of inputs shares: two levels of scales, so that unpacking is integer work
and the kernel is that of 8 bits.

Imports no torch, so that instruments can ask what a weight would become.

Source: symmetric codes with a scale per output, Krishnamoorthi 2018, arXiv:1806.08342, section 3; a float scale over
integer scales of groups, Dettmers et al. 2023, arXiv:2305.14314, section 3 (there the outer level is shared by more).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int8

from miscope.core import MiscopeError

FULL_LIMIT, SAFE_LIMIT = 127, 63  # the largest code; the safe one leaves 16-bit sums of two products room
LOWEST, HIGHEST = -8, 7  # of four bits
MODES = ("dynamic", "static")
GROUP = 32  # inputs that share a multiplier: 0.53 bytes a weight; of N(0, 1), 9 % error (128: 10 %, 0.51 bytes)
CLIPS = (1.0, 0.93, 0.86, 0.8, 0.73)  # shares of a group's largest weight that its codes may end at; the best is taken
TINY = np.float32(1e-30)  # keeps the scale of an output whose weights are all 0 away from 0


@dataclass(frozen=True)
class Scheme:
    """What one asks for. `dynamic`: a scale per row of activations, as they come; `static`: one range, seen beforehand.

    Raises:
        MiscopeError: a setting that there is not.
    """

    bits: int = 8
    mode: str = "dynamic"
    group_size: int | None = None  # inputs that share a multiplier, at 4 bits; None: 32

    def __post_init__(self) -> None:
        bits, size = self.bits, self.group_size
        if bits not in (8, 4):
            raise MiscopeError(f"`bits` = {bits}; allowed: 8, 4.")
        if bits == 8 and size is not None:
            raise MiscopeError(f"`group_size` = {size} at 8 bits, where each output has one scale; leave it out.")
        if size is not None and (size < 2 or size % 2):
            raise MiscopeError(f"`group_size` = {size}; allowed: an even number from 2.")
        if self.mode not in MODES:
            raise MiscopeError(f"`mode` = {self.mode!r}; allowed: {', '.join(MODES)}.")


@dataclass(frozen=True)
class Grid:
    """A weight as codes: weight = codes * scale, exact in float32. At 4 bits also the parts of the codes."""

    codes: Int8[np.ndarray, "d_in d_out"]
    scale: Float32[np.ndarray, " d_out"]
    nibbles: Int8[np.ndarray, "padded_in d_out"] | None = None  # -8 to 7; d_in is filled up to whole groups
    multipliers: Int8[np.ndarray, "group d_out"] | None = None

    @property
    def weight(self) -> Float32[np.ndarray, "d_in d_out"]:
        return self.codes.astype(np.float32) * self.scale


def nearest_grid(
    weight: Float32[np.ndarray, "d_in d_out"], bits: int, group_size: int | None = None, limit: int = FULL_LIMIT
) -> Grid:
    """The weight's place on the grid. At 4 bits each group takes, of a few multipliers, the one of least squared error.

    Raises:
        MiscopeError: the weight has a NaN or an infinity, or there is no grid of these bits.
    """
    Scheme(bits, group_size=group_size)
    if not np.isfinite(weight).all():
        raise MiscopeError("A weight is NaN or infinite; only finite weights can be quantized.")
    weight = np.asarray(weight, dtype=np.float32)
    return _eight_bits(weight, limit) if bits == 8 else _four_bits(weight, group_size or GROUP, limit)


def _eight_bits(weight: np.ndarray, limit: int) -> Grid:
    scale = np.maximum(np.abs(weight).max(axis=0), TINY) / np.float32(limit)
    return Grid(np.clip(np.rint(weight / scale), -limit, limit).astype(np.int8), scale)


def _four_bits(weight: np.ndarray, group_size: int, limit: int) -> Grid:
    d_in, d_out = weight.shape
    size = min(group_size, d_in + d_in % 2)
    groups = np.pad(weight, ((0, -d_in % size), (0, 0))).reshape(-1, size, d_out)
    largest, top = np.abs(groups).max(axis=1), limit // -LOWEST
    scale = np.maximum(largest.max(axis=0), TINY) / np.float32(HIGHEST * top)
    least = np.full(largest.shape, np.inf, dtype=np.float32)
    nibbles, multipliers = np.zeros(groups.shape, np.int8), np.ones(largest.shape, np.int8)
    for clip in CLIPS:
        m = np.clip(np.rint(largest * np.float32(clip) / (HIGHEST * scale)), 1, top).astype(np.float32)
        step = (m * scale)[:, None]
        q = np.clip(np.rint(groups / step), LOWEST, HIGHEST)
        error = np.square(q * step - groups).sum(axis=1)
        is_better = error < least
        least = np.where(is_better, error, least)
        multipliers = np.where(is_better, m, multipliers).astype(np.int8)
        nibbles = np.where(is_better[:, None], q, nibbles).astype(np.int8)
    codes = (nibbles * multipliers[:, None]).reshape(-1, d_out)[:d_in]
    return Grid(codes, scale, nibbles.reshape(-1, d_out), multipliers)


def pack_nibbles(nibbles: Int8[np.ndarray, "padded_in d_out"]) -> Int8[np.ndarray, "half_in d_out"]:
    """Two nibbles a byte: the first half of the inputs in the low bits, the second in the high ones."""
    low, high = np.split(nibbles, 2)
    return (high << 4) | (low & 15)
