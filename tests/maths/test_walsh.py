"""The fast transform against the definition, sum by sum."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miscope.maths.walsh import bits, walsh_transform


def characters(n: int) -> np.ndarray:
    """chi_S(x) as [set input], by the definition."""
    x = bits(np.arange(2**n), n)
    return (-1.0) ** (x @ x.T)


@given(st.integers(0, 10_000), st.integers(0, 6))
def test_the_fast_transform_is_the_sum_over_all_inputs(seed: int, n: int) -> None:
    values = np.random.default_rng(seed).normal(size=(2,) * n)
    np.testing.assert_allclose(walsh_transform(values).ravel(), characters(n) @ values.ravel() / 2**n, atol=1e-12)


@given(st.integers(0, 10_000), st.integers(0, 6))
def test_the_squares_of_the_coefficients_sum_to_the_mean_square(seed: int, n: int) -> None:
    values = np.random.default_rng(seed).normal(size=(2,) * n)
    assert (walsh_transform(values) ** 2).sum() == pytest.approx((values**2).mean())


def test_a_character_has_one_coefficient_and_two_have_two() -> None:
    chi = characters(4)
    one, two = (walsh_transform(f.reshape((2,) * 4)) for f in (chi[0b0101], 3 * chi[0b1111] - chi[0]))
    assert np.argwhere(one).tolist() == [[0, 1, 0, 1]]
    assert (one[0, 1, 0, 1], two[1, 1, 1, 1], two[0, 0, 0, 0]) == (1, 3, -1)
    assert np.count_nonzero(two) == 2


def test_twice_the_transform_is_the_function_over_the_number_of_inputs() -> None:
    values = np.random.default_rng(0).normal(size=(2,) * 5)
    np.testing.assert_allclose(walsh_transform(walsh_transform(values)), values / 32)


def test_an_axis_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"axes of size 2 alone; found the shape \(2, 3\)"):
        walsh_transform(np.zeros((2, 3)))


def test_the_bits_of_a_cube_are_in_c_order() -> None:
    assert bits(np.arange(8), 3).tolist() == [[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]
