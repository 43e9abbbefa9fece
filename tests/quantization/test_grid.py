"""The numbers that a quantized weight and a quantized activation can be, worked out by hand or planted."""

import numpy as np
import pytest
import torch

from miscope.core import MiscopeError
from miscope.quantization.grid import nearest_grid, pack_nibbles
from miscope.quantization.kernels import affine, fake_quantize_range, quantize_range, quantize_rows, unpack_nibbles


def gaussian(d_in: int, d_out: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(d_in, d_out)).astype(np.float32)


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


def test_eight_bits_by_hand() -> None:
    grid = nearest_grid(np.array([[1.27, 0.0], [-0.5, 0.0], [0.014, 0.0]], np.float32), 8)
    assert grid.codes.tolist() == [[127, 0], [-50, 0], [1, 0]]
    np.testing.assert_allclose(grid.weight, [[1.27, 0], [-0.5, 0], [0.01, 0]], rtol=1e-6)


def test_a_weight_on_the_grid_of_four_bits_is_found_exactly() -> None:
    """Planted: nibbles that reach 7 in each group, multipliers that reach the largest, 15, in each output."""
    draw = np.random.default_rng(1)
    nibbles = draw.integers(-7, 8, (8, 32, 5))
    nibbles[:, 0], multipliers = 7, draw.integers(12, 16, (8, 5))
    multipliers[0] = 15
    planted = (nibbles * multipliers[:, None]).reshape(256, 5)
    scale = np.float32(2.0) ** -np.arange(5)
    grid = nearest_grid((planted * scale).astype(np.float32), 4)
    np.testing.assert_array_equal(grid.codes, planted)
    np.testing.assert_array_equal(grid.scale, scale)
    np.testing.assert_array_equal(grid.multipliers, multipliers)


def test_four_bits_are_sixteen_values_a_group() -> None:
    grid = nearest_grid(gaussian(64, 10), 4)
    assert grid.nibbles is not None
    assert -8 <= grid.nibbles.min() < 0 < grid.nibbles.max() <= 7
    for group in grid.codes.reshape(2, 32, 10).transpose(0, 2, 1).reshape(20, 32):
        assert len(np.unique(group)) <= 16


@pytest.mark.parametrize(("bits", "limit", "largest"), [(8, 127, 0.008), (8, 63, 0.016), (4, 127, 0.09), (4, 63, 0.1)])
def test_gaussian_weights_move_by_little(bits: int, limit: int, largest: float) -> None:
    """8 bits of one scale each: steps of 3.2 standard deviations / 127 give 0.7 %."""
    weight = gaussian(512, 64)
    grid = nearest_grid(weight, bits, limit=limit)
    assert relative_error(grid.weight, weight) < largest
    assert np.abs(grid.codes.astype(int)).max() <= limit


@pytest.mark.parametrize(("d_in", "size"), [(64, 32), (33, 32), (5, 32), (70, 8), (1, 2)])
def test_nibbles_packed_and_unpacked_are_the_codes(d_in: int, size: int) -> None:
    grid = nearest_grid(gaussian(d_in, 7), 4, size)
    assert grid.nibbles is not None
    half = torch.from_numpy(pack_nibbles(grid.nibbles))
    for is_kept in (True, False):
        codes = unpack_nibbles(half, torch.from_numpy(grid.multipliers), d_in, is_kept=is_kept)
        np.testing.assert_array_equal(codes.numpy(), grid.codes)


@pytest.mark.parametrize("d_out", [8, 3])  # eight bytes at a time, and one
def test_every_pair_of_nibbles_is_unpacked_under_every_multiplier(d_out: int) -> None:
    """By arithmetic on Python's integers: the low nibble first, then the high one, each in two's complement."""
    packed = torch.arange(-128, 128, dtype=torch.int8).repeat_interleave(d_out).view(256, d_out)
    signed = [n - 16 if n > 7 else n for n in range(16)]
    nibbles = [signed[b & 15] for b in range(-128, 128)] + [signed[b >> 4 & 15] for b in range(-128, 128)]
    for m in range(1, 16):
        codes = unpack_nibbles(packed, torch.full((16, d_out), m, dtype=torch.int8), 512)
        assert codes.tolist() == [[n * m] * d_out for n in nibbles]


@pytest.mark.parametrize(
    ("weight", "bits", "size", "said"),
    [
        (1, 2, None, "`bits` = 2; allowed: 8, 4."),
        (1, 4, 5, "`group_size` = 5;"),
        (1, 8, 32, "`group_size` = 32 at 8 bits"),
        (np.nan, 8, None, "NaN or infinite"),
    ],
)
def test_what_there_is_not_is_refused(weight: float, bits: int, size: int | None, said: str) -> None:
    with pytest.raises(MiscopeError, match=said):
        nearest_grid(np.full((4, 4), weight, np.float32), bits, size)


def test_rows_are_scaled_by_their_own_largest_number() -> None:
    codes, scale = quantize_rows(torch.tensor([[1.27, -0.5, 0.0], [-2540.0, 20.0, 9.0], [0.0, 0.0, 0.0]]))
    assert codes.tolist() == [[127, -50, 0], [-127, 1, 0], [0, 0, 0]]
    torch.testing.assert_close(scale[:2], torch.tensor([[0.01], [20.0]]))


def test_unsigned_codes_are_128_larger() -> None:
    x = torch.randn(5, 37, generator=torch.Generator().manual_seed(0))
    x[0], to = 0, affine(-1.0, 2.0)
    (signed, scale), (unsigned, same) = (quantize_rows(x, dtype) for dtype in (torch.int8, torch.uint8))
    assert torch.equal(scale, same)
    assert torch.equal(signed.int() + 128, unsigned.int())
    assert torch.equal(quantize_range(x, to).int() + 128, quantize_range(x, to, torch.uint8).int())


@pytest.mark.parametrize("d", [1, 7, 31, 33, 100, 511])
def test_a_code_does_not_depend_on_where_in_the_tensor_it_stands(d: int) -> None:
    """What a vector takes in a whole row, the loop for the rest takes in a part of it: both must round alike."""
    x = torch.randn(300, 512, generator=torch.Generator().manual_seed(d))
    x[:, 0] = 9  # the largest number of a row and of its parts
    codes, _ = quantize_rows(x)
    assert torch.equal(quantize_rows(x[:, :d].contiguous())[0], codes[:, :d])
    assert torch.equal(torch.cat([quantize_rows(row[None])[0] for row in x]), codes)


def test_a_fixed_range_cuts_off_what_lies_outside() -> None:
    to = affine(-1.0, 1.55)  # 255 steps of 0.01
    x = torch.tensor([[-1.0, 0.0, 1.55, 0.504, -7.0, 1e30]])
    assert quantize_range(x, to).tolist() == [[-128, -28, 127, 22, -128, 127]]
    torch.testing.assert_close(fake_quantize_range(x, to), torch.tensor([[-1.0, 0.0, 1.55, 0.5, -1.0, 1.55]]))


def test_a_range_of_positive_numbers_still_has_zero() -> None:
    to = affine(2.0, 5.1)
    assert quantize_range(torch.zeros(1, 1), to).item() == to.zero == -128
