"""Activations as 8-bit codes: a scale per row found as they come, or one range found beforehand by calibration.

A scale per row leaves the model causal and its rows independent: what follows a token, or stands beside it in the
batch, moves nothing. One scale for the whole tensor, found as it comes, would not.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int8
from torch import Tensor

LIMIT = 127
MAGIC = 1.5 * 2**23
SMALLEST = 1e-30  # the least magnitude that a row's scale is made from, so that a row of zeros divides by no zero


@dataclass(frozen=True)
class Affine:
    """A fixed range: x = (code - zero) * scale, codes -128 to 127."""

    scale: float
    zero: int


def affine(low: float, high: float) -> Affine:
    """The codes for values between low and high; 0 is always one of them, exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max(high - low, SMALLEST) / 255
    return Affine(scale, round(-low / scale) - 128)


def rows_as_codes(x: Float[Tensor, "row d"]) -> tuple[Int8[Tensor, "row d"], Float[Tensor, "row 1"]]:
    """Codes and the scale of each row: x = codes * scale. A row with a NaN or an infinity has such a scale."""
    lowest = x.amin(dim=-1, keepdim=True).neg_()
    scale = torch.maximum(x.amax(dim=-1, keepdim=True), lowest).clamp_min_(SMALLEST).div_(LIMIT)
    return (x / scale).round_().to(torch.int8), scale


def range_as_codes(x: Float[Tensor, "row d"], to: Affine) -> Int8[Tensor, "row d"]:
    """Codes in the fixed range; what lies outside it is cut off. A NaN is not seen here, see `linear`.

    Added to MAGIC, a number of 24 bits, x / scale is rounded to an integer, which then stands in the float's low bits.
    """
    steps = torch.add(_number(MAGIC + to.zero), x, alpha=1 / to.scale).clamp_(MAGIC - 128, MAGIC + 127)
    return steps.view(torch.int32).to(torch.int8)


@lru_cache(maxsize=1024)
@torch.inference_mode(False)  # what is kept must serve outside of it too
def _number(value: float) -> Tensor:
    return torch.tensor(value)


def as_rows_run(x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
    """What a layer with a scale per row computes with in x's place."""
    codes, scale = rows_as_codes(x.flatten(0, -2))
    return (codes * scale).view_as(x)


def as_range_runs(x: Float[Tensor, "... d"], to: Affine) -> Float[Tensor, "... d"]:
    """What a layer with a fixed range computes with in x's place."""
    return ((range_as_codes(x.flatten(0, -2), to).float() - to.zero) * to.scale).view_as(x)
