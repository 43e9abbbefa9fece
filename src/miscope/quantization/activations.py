"""Activations as 8-bit codes: a scale per row as they come, or one range that was seen beforehand.

A scale per row leaves the model causal and its rows independent: what follows a token, or stands beside it in the
batch, moves nothing. One scale for the whole tensor as it comes would not.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int8, UInt8
from torch import Tensor

Codes = Int8[Tensor, "row d"] | UInt8[Tensor, "row d"]  # unsigned ones are 128 larger

LIMIT = 127
ZERO = {torch.int8: 0, torch.uint8: 128}  # the code of 0
MAGIC = 1.5 * 2**23  # 24 bits: added to x / scale, it rounds to an integer, which then stands in the float's low bits
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


def quantize_rows(x: Float[Tensor, "row d"], dtype: torch.dtype = torch.int8) -> tuple[Codes, Float[Tensor, "row 1"]]:
    """Codes and the scale of each row: x = codes * scale. A row with a NaN or an infinity has such a scale."""
    lowest = x.amin(dim=-1, keepdim=True).neg_()
    largest = torch.maximum(x.amax(dim=-1, keepdim=True), lowest).clamp_min_(SMALLEST)
    scale = largest.div_(_number(LIMIT))
    steps = torch.addcmul(_row(x.shape[-1], MAGIC + ZERO[dtype], x.device), x, scale.reciprocal())
    return steps.view(torch.int32).to(dtype), scale


def quantize_range(x: Float[Tensor, "row d"], to: Affine, dtype: torch.dtype = torch.int8) -> Codes:
    """Codes in the fixed range; what lies outside it is cut off. A NaN is not seen here, see `QuantLinear`."""
    middle = MAGIC + ZERO[dtype]
    steps = torch.add(_number(middle + to.zero), x, alpha=1 / to.scale).clamp_(middle - 128, middle + 127)
    return steps.view(torch.int32).to(dtype)


# A constant in a tensor of its own costs an operator nothing; as a Python number it is wrapped and cast at each call.
@lru_cache(maxsize=1024)
@torch.inference_mode(False)  # what is kept must serve outside of it too
def _number(value: float) -> Tensor:
    return torch.tensor(float(value))


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _row(d: int, value: float, device: torch.device) -> Float[Tensor, " d"]:
    """A row of one number: beside a scale per row, two numbers that stand still would keep a loop from vectors."""
    return torch.full((d,), value, device=device)


def fake_quantize_rows(x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
    """What a layer with a scale per row computes with in x's place."""
    codes, scale = quantize_rows(x.flatten(0, -2))
    return (codes * scale).view_as(x)


def fake_quantize_range(x: Float[Tensor, "... d"], to: Affine) -> Float[Tensor, "... d"]:
    """What a layer with a fixed range computes with in x's place."""
    return ((quantize_range(x.flatten(0, -2), to).float() - to.zero) * to.scale).view_as(x)
