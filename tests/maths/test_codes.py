"""Matrices that come back from few bits."""

import numpy as np
import pytest

from miscope.maths.codes import dequantize, quantize


def matrix(n: int, dim: int, size: float = 1.0) -> np.ndarray:
    return (size * np.random.default_rng(0).normal(size=(n, dim))).astype(np.float32)


@pytest.mark.parametrize("bits", [1, 8, 10, 12, 16])
@pytest.mark.parametrize("shape", [(2, 1), (3, 1), (7, 5), (40, 33)])
def test_an_entry_is_off_by_half_a_level_of_its_column_at_most(bits, shape):
    values = matrix(*shape) * np.float32(10) ** np.linspace(-9, 9, shape[1], dtype=np.float32)
    codes = quantize(values, bits)
    np.testing.assert_allclose(codes.unit, np.ptp(values, axis=0) / (2**bits - 1), rtol=1e-5)
    assert (np.abs(dequantize(codes, shape[0], bits) - values) <= 0.5001 * codes.unit + 1e-6 * np.abs(values)).all()
    assert len(codes.code) == -(-shape[0] * shape[1] * bits // 8)


def test_levels_come_back_as_they_are_and_size_does_not_count():
    values = np.array([[0, 5], [3, 5], [1, 5]], dtype=np.float32)
    np.testing.assert_array_equal(dequantize(quantize(values, 2), 3, 2), values)
    for size in (1e-9, 1e9):
        values = matrix(30, 4, size)
        np.testing.assert_allclose(dequantize(quantize(values, 12), 30, 12), values, atol=1e-3 * size)


def test_a_column_that_is_the_same_in_all_rows_is_exact_and_takes_no_room():
    values = matrix(8, 3)
    values[:, 1] = np.float32(0.1)
    codes = quantize(values, 8)
    assert len(codes.code) == 16
    np.testing.assert_array_equal(dequantize(codes, 8, 8)[:, 1], values[:, 1])


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_column_with_an_entry_that_is_not_finite_is_not_a_number_and_others_keep_theirs(broken):
    values = matrix(8, 3)
    values[4, 1] = broken
    measured = dequantize(quantize(values, 12), 8, 12)
    assert np.isnan(measured[:, 1]).all()
    np.testing.assert_allclose(measured[:, [0, 2]], values[:, [0, 2]], atol=1e-3)
