"""Products of 8-bit codes, by whichever kernel this machine has and that proved right on it.

Three ways to the same numbers: oneDNN's quantized linear on a weight laid out for it, torch's integer product, and
floats that hold integers. A probe at first use multiplies the extremes and compares with exact arithmetic, because

* without VNNI, sums of two products saturate at 16 bits, unless weights keep to 7 bits: no error, wrong by up to 90 %;
* torch's integer product of one row is garbage in some layouts: a second row is always added here;
* oneDNN's kernel takes signed activations too, and then without AMX is a thousand times slower: they go in unsigned.
"""

import threading
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float, Int, Int8
from torch import Tensor

from miscope.model.quantization.grid import FULL_LIMIT, SAFE_LIMIT

Kernel = Literal["onednn", "int_mm", "float"]

CALLS: Counter[Kernel] = Counter()  # how often each kernel ran; for tests and benchmarks
MIDDLE = 128  # added to a signed code to make it unsigned
ROWS, INPUTS, OUTPUTS = 5, 96, 32  # of the probe: more than a register's worth of each


def laid_out(codes: Int8[Tensor, "d_in d_out"]) -> Tensor:
    """The weight in oneDNN's own order, of the same size; `to_dense` gives the codes back."""
    return torch.ops.onednn.qlinear_prepack(codes.T.contiguous(), None)


def product(
    x: Int8[Tensor, "row d_in"],
    weight: Tensor,
    alpha: Float[Tensor, " d_out"],
    beta: Float[Tensor, " d_out"] | None,
    kernel: Kernel,
) -> Float[Tensor, "row d_out"]:
    """(x @ weight) * alpha + beta; `weight` holds codes [d_in d_out], for `onednn` as `laid_out` gives them.

    It may overwrite x: a copy would cost as much as a pass over the activations.
    """
    CALLS[kernel] += 1
    if kernel == "onednn":
        return _onednn(x, weight, alpha, beta)
    out = _integers(x, weight).float() if kernel == "int_mm" else x.float() @ weight.float()
    return out.mul_(alpha) if beta is None else torch.addcmul(beta, out, alpha, out=out)


def _onednn(x: Tensor, weight: Tensor, alpha: Tensor, beta: Tensor | None) -> Tensor:
    unsigned = x.view(torch.uint8).bitwise_xor_(MIDDLE)
    return torch.ops.onednn.qlinear_pointwise(
        unsigned, 1.0, MIDDLE, weight, alpha, _zeros(len(alpha)), beta, 1.0, 0, torch.float32, "none", [], ""
    )


def _integers(x: Int8[Tensor, "row d_in"], weight: Int8[Tensor, "d_in d_out"]) -> Int[Tensor, "row d_out"]:
    if len(x) == 1:
        return torch._int_mm(torch.cat((x, x)), weight)[:1]
    return torch._int_mm(x, weight)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _zeros(n: int) -> Tensor:
    return torch.zeros(n, dtype=torch.int32)


# ---------------------------------------------------------------- which kernel, and how large a code


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
        weight = laid_out(codes) if kernel == "onednn" else codes
        return all(
            torch.equal(product(rows.clone(), weight, one, None, kernel).double(), rows.double() @ codes.double())
            for rows in (x, x[:1], x[1:2])
        )
    except (AttributeError, RuntimeError, NotImplementedError):  # an operator that this build or processor lacks
        return False
    finally:
        CALLS.clear()
        CALLS.update(before)


# ---------------------------------------------------------------- four bits


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
Room = Callable[[int, int], Tensor]


def unpacked(
    packed: Int8[Tensor, "half_in d_out"], multipliers: Int8[Tensor, "group d_out"], d_in: int, *, is_kept: bool = True
) -> Int8[Tensor, "d_in d_out"]:
    """Codes from packed nibbles. With `is_kept` False they lie in a scratch that the next call overwrites."""
    half, d_out = packed.shape
    room: Room = (lambda *shape: packed.new_empty(shape)) if is_kept or packed.is_cuda else _scratch.of
    codes = room(2 * half, d_out)
    low, high = codes[:half], codes[half:]
    torch.bitwise_left_shift(packed, 4, out=low)
    torch.bitwise_right_shift(low, 4, out=low)  # drags the sign along
    torch.bitwise_right_shift(packed, 4, out=high)
    codes.view(len(multipliers), -1, d_out).mul_(multipliers[:, None])
    return codes[:d_in]
