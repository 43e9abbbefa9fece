"""Activations as 8-bit codes, and products of codes by whichever kernel this machine has and that proved right on it.

Activations have a scale per row as they come, or one range that was seen beforehand. A scale per row leaves the model
causal and its rows independent: what follows a token, or stands beside it in the batch, moves nothing. One scale for
the whole tensor as it comes would not.

Three ways to the same numbers: oneDNN's quantized linear on a weight laid out for it, torch's integer product, and
floats that hold integers. A probe at first use multiplies the extremes and compares with exact arithmetic, because

* without VNNI, sums of two products saturate at 16 bits, unless weights keep to 7 bits: no error, wrong by up to 90 %;
* torch's integer product of one row is garbage in some layouts: a second row is always added here;
* oneDNN's kernel takes signed activations too, and then without AMX is a thousand times slower: they go in unsigned.
"""

import threading
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float, Int, Int8, UInt8
from torch import Tensor

from miscope.quantization.grid import FULL_LIMIT, SAFE_LIMIT

Codes = Int8[Tensor, "row d"] | UInt8[Tensor, "row d"]  # unsigned ones are 128 larger
Kernel = Literal["onednn", "int_mm", "float"]

CALLS: Counter[Kernel] = Counter()  # for how many layers each kernel ran; for tests and benchmarks
TAKES: dict[Kernel, torch.dtype] = {"onednn": torch.uint8, "int_mm": torch.int8, "float": torch.int8}  # x's codes
ZERO = {torch.int8: 0, torch.uint8: 128}  # the code of 0
MAGIC = 1.5 * 2**23  # 24 bits: added to x / scale, it rounds to an integer, which then stands in the float's low bits
SMALLEST = 1e-30  # the least magnitude that a row's scale is made from, so that a row of zeros divides by no zero
ROWS, INPUTS, OUTPUTS = 5, 96, 32  # of the probe: more than a register's worth of each


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
    scale = largest.div_(_constant(FULL_LIMIT))
    # beside a scale per row, two numbers that stand still would keep a loop from vectors: the sum is a row
    steps = torch.addcmul(_constant(MAGIC + ZERO[dtype], x.shape[-1], x.device), x, scale.reciprocal())
    return steps.view(torch.int32).to(dtype), scale


def quantize_range(x: Float[Tensor, "row d"], to: Affine, dtype: torch.dtype = torch.int8) -> Codes:
    """Codes in the fixed range; what lies outside it is cut off. A NaN is not seen here, see `QuantLinear`."""
    middle = MAGIC + ZERO[dtype]
    steps = torch.add(_constant(middle + to.zero), x, alpha=1 / to.scale).clamp_(middle - 128, middle + 127)
    return steps.view(torch.int32).to(dtype)


def fake_quantize_rows(x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
    """What a layer with a scale per row computes with in x's place."""
    codes, scale = quantize_rows(x.flatten(0, -2))
    return (codes * scale).view_as(x)


def fake_quantize_range(x: Float[Tensor, "... d"], to: Affine) -> Float[Tensor, "... d"]:
    """What a layer with a fixed range computes with in x's place."""
    return ((quantize_range(x.flatten(0, -2), to).float() - to.zero) * to.scale).view_as(x)


@lru_cache(maxsize=1024)
@torch.inference_mode(False)  # what is kept must serve outside of it too
def _constant(
    value: float, n: int = 0, device: torch.device | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """A number, or `n` of it, kept: in a tensor of its own it is not wrapped and cast at each call."""
    return torch.full((n,) if n else (), value, dtype=dtype, device=device)


def prepacked(codes: Int8[Tensor, "d_in d_out"]) -> Tensor:
    """The weight in oneDNN's own order, of the same size; `to_dense` gives the codes back."""
    return torch.ops.onednn.qlinear_prepack(codes.T.contiguous(), None)


def product(
    x: Codes, weight: Tensor, alpha: Float[Tensor, " d_out"], beta: Float[Tensor, " d_out"] | None, kernel: Kernel, *,
    scale: Float[Tensor, "row 1"] | None = None, n_layers: int = 1,
) -> Float[Tensor, "row d_out"]:  # fmt: skip
    """(x @ weight) * alpha * scale + beta; x are codes of the type that the kernel `TAKES`.

    `weight` holds codes [d_in d_out], for `onednn` as `prepacked` gives them, of `n_layers` layers side by side.
    """
    CALLS[kernel] += n_layers
    if kernel == "onednn":
        if scale is None:
            return _onednn(x, weight, alpha, beta)
        out, last = _onednn(x, weight, alpha, None), scale
    else:
        out, last = _integers(x, weight).float() if kernel == "int_mm" else x.float() @ weight.float(), alpha
        out = out if scale is None else out.mul_(scale)
    return out.mul_(last) if beta is None else torch.addcmul(beta, out, last, out=out)


def _onednn(x: UInt8[Tensor, "row d_in"], weight: Tensor, alpha: Tensor, beta: Tensor | None) -> Tensor:
    x_zero, weight_zeros = ZERO[x.dtype], _constant(0, len(alpha), None, torch.int32)
    return torch.ops.onednn.qlinear_pointwise(
        x, 1.0, x_zero, weight, alpha, weight_zeros, beta, 1.0, 0, torch.float32, "none", [], ""
    )


def cast_for(x: Int8[Tensor, "row d"], kernel: Kernel) -> Codes:
    """Signed codes as the kernel `TAKES` them."""
    return (x.short() + ZERO[TAKES[kernel]]).to(TAKES[kernel])


def _integers(x: Int8[Tensor, "row d_in"], weight: Int8[Tensor, "d_in d_out"]) -> Int[Tensor, "row d_out"]:
    if len(x) == 1:
        return torch._int_mm(torch.cat((x, x)), weight)[:1]
    return torch._int_mm(x, weight)


def kernel_for(largest_code: int, wanted: tuple[Kernel, ...] = ("onednn", "int_mm")) -> Kernel:
    """The first of the kernels wanted that multiplies codes up to `largest_code` exactly on this machine."""
    limit = SAFE_LIMIT if largest_code <= SAFE_LIMIT else FULL_LIMIT
    return next((kernel for kernel in wanted if _is_exact(kernel, limit)), "float")


def code_limit() -> int:
    """The largest code that weights may have for a kernel of integers to be right here: 127, or 63 without VNNI."""
    return FULL_LIMIT if kernel_for(FULL_LIMIT) != "float" or kernel_for(SAFE_LIMIT) == "float" else SAFE_LIMIT


@lru_cache
def _is_exact(kernel: Kernel, limit: int) -> bool:
    """Whether the kernel gives what float64 gives, on extremes and on numbers in between, for one row and for more."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randint(-127, 128, (ROWS, INPUTS), generator=draw, dtype=torch.int8)
    codes = torch.randint(-limit, limit + 1, (INPUTS, OUTPUTS), generator=draw, dtype=torch.int8)
    x[0], x[1], codes[:, 0], codes[:, 1] = 127, -127, limit, -limit
    one, before = torch.ones(OUTPUTS), CALLS.copy()
    try:
        weight = prepacked(codes) if kernel == "onednn" else codes
        ours = [product(cast_for(rows, kernel), weight, one, None, kernel).double() for rows in (x, x[:1], x[1:2])]
        exact = [rows.double() @ codes.double() for rows in (x, x[:1], x[1:2])]
        return all(map(torch.equal, ours, exact))
    except (AttributeError, RuntimeError, NotImplementedError):  # an operator that this build or processor lacks
        return False
    finally:
        CALLS.clear()
        CALLS.update(before)


class _Scratch(threading.local):
    """Room for the weight that is being multiplied; one per thread, as large as the largest so far."""

    def __init__(self) -> None:
        self.bytes = torch.empty(0, dtype=torch.int8)

    @torch.inference_mode(False)  # what is kept must serve outside of it too
    def of(self, *shape: int) -> Tensor:
        size = shape[0] * shape[1]
        if self.bytes.numel() < size:
            self.bytes = torch.empty(size, dtype=torch.int8)
        return self.bytes[:size].view(shape)


_scratch = _Scratch()


def unpack_nibbles(
    packed: Int8[Tensor, "half_in d_out"], multipliers: Int8[Tensor, "group d_out"], d_in: int, *, is_kept: bool = True
) -> Int8[Tensor, "d_in d_out"]:
    """Codes from packed nibbles. With `is_kept` False they lie in a scratch that the next call overwrites.

    Low nibbles get their sign eight bytes at a time: (n + 0x78) ^ 0x78 is n below 8 and n - 16 from there on, and no
    byte carries into the next.
    """
    half, d_out = packed.shape
    shape = 2 * half, d_out
    codes = packed.new_empty(shape) if is_kept or packed.is_cuda else _scratch.of(*shape)
    torch.bitwise_right_shift(packed, _in_every_byte(4, torch.int8), out=codes[half:])  # drags the sign along
    many = torch.int8 if packed.numel() % 8 or packed.storage_offset() % 8 else torch.int64
    pairs, low = packed.view(-1).view(many), codes[:half].view(-1).view(many)
    nibble, shift = _in_every_byte(0x0F, many), _in_every_byte(0x78, many)
    torch.bitwise_and(pairs, nibble, out=low).add_(shift).bitwise_xor_(shift)
    codes.view(len(multipliers), -1, d_out).mul_(multipliers[:, None])
    return codes[:d_in]


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _in_every_byte(byte: int, dtype: torch.dtype) -> Tensor:
    return torch.tensor([byte] * dtype.itemsize, dtype=torch.int8).view(dtype)[0]
