"""Harmonic analysis against slow loops and answers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miscope.maths import spectra

P = 11
BASIS = spectra.Basis("fourier", P)
X = 2 * np.pi * np.arange(P) / P


def slow_fractions(f: np.ndarray, frequencies: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The definition, cell by cell."""
    cells = (f @ values @ f.T) ** 2
    cells[0, 0] = 0
    fractions = np.zeros(frequencies.max())
    for k in range(1, frequencies.max() + 1):
        for row in range(len(f)):
            for column in range(len(f)):
                if frequencies[row] in (0, k) and frequencies[column] in (0, k):
                    fractions[k - 1] += cells[row, column]
    return fractions / cells.sum()


@pytest.mark.parametrize("p", [2, 3, 8, 59, 113])
def test_the_basis_is_orthonormal(p: int) -> None:
    np.testing.assert_allclose(spectra.fourier_basis(p) @ spectra.fourier_basis(p).T, np.eye(p), atol=1e-12)


def test_rows_are_the_constant_then_cosine_and_sine_of_each_frequency() -> None:
    assert BASIS.frequencies.tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    np.testing.assert_allclose(BASIS.matrix[3], np.cos(2 * X) * np.sqrt(2 / P), atol=1e-12)
    np.testing.assert_allclose(BASIS.matrix[4], np.sin(2 * X) * np.sqrt(2 / P), atol=1e-12)


@given(st.integers(0, 10_000), st.sampled_from([2, 5, 8, 13]))
def test_energies_and_the_constant_add_up_to_the_squared_norm(seed: int, p: int) -> None:
    values = np.random.default_rng(seed).normal(size=(p, 4))
    constant = p * values.mean(axis=0) ** 2
    total = spectra.energy_by_frequency(spectra.Basis("fourier", p), values).sum(axis=0) + constant
    np.testing.assert_allclose(total, (values**2).sum(axis=0))


def test_two_planted_frequencies_share_the_power_equally() -> None:
    values = np.stack([np.cos(2 * X), np.sin(2 * X), np.cos(5 * X + 0.3), np.sin(5 * X + 0.3), np.ones(P)], axis=1)
    np.testing.assert_allclose(spectra.power_by_frequency(BASIS, values), [0, 0.5, 0, 0, 0.5], atol=1e-12)
    assert not spectra.power_by_frequency(BASIS, np.zeros((P, 3))).any()


@given(st.integers(0, 10_000), st.sampled_from([5, 8, 11]))
def test_fractions_agree_with_the_definition_cell_by_cell(seed: int, p: int) -> None:
    basis = spectra.Basis("fourier", p)
    maps = np.random.default_rng(seed).normal(size=(3, p, p))
    expected = [slow_fractions(basis.matrix, basis.frequencies, values) for values in maps]
    np.testing.assert_allclose(spectra.variance_fractions(basis, maps), expected, rtol=1e-9)


def test_a_single_frequency_map_has_fraction_one_there_and_zero_elsewhere() -> None:
    a, b = X[:, None], X[None, :]
    maps = np.stack([3 + np.cos(4 * a) - np.sin(4 * b), np.cos(4 * a) * np.cos(4 * b), np.sin(4 * (a + b) + 1)])
    expected = np.tile([0, 0, 0, 1, 0], (3, 1))
    np.testing.assert_allclose(spectra.variance_fractions(BASIS, maps), expected, atol=1e-12)


def test_a_product_of_two_frequencies_belongs_to_neither_and_a_sum_splits_by_their_squared_amplitudes() -> None:
    (a, b), product = (X[:, None], X[None]), np.outer(np.cos(2 * X), np.cos(3 * X))
    maps = np.stack([product, 3 * np.cos(2 * a) + np.sin(5 * b)])
    np.testing.assert_allclose(spectra.variance_fractions(BASIS, maps), [[0] * 5, [0, 0.9, 0, 0, 0.1]], atol=1e-12)


@pytest.mark.parametrize("constant", [0.0, 1 / 3, 1e4])
def test_a_constant_map_has_no_fractions_in_float32_either(constant: float) -> None:
    maps = np.full((2, P, P), constant, dtype=np.float32)
    assert not spectra.variance_fractions(BASIS, maps).any()


def test_a_large_constant_does_not_hide_a_wave_in_float32() -> None:
    maps = (1000 + np.cos(2 * X)[:, None] + np.zeros(P)).astype(np.float32)[None]
    np.testing.assert_allclose(spectra.variance_fractions(BASIS, maps), [[0, 1, 0, 0, 0]], atol=1e-4)


def test_relabelling_tokens_by_a_unit_of_the_group_permutes_the_frequencies() -> None:
    maps = np.random.default_rng(0).normal(size=(2, P, P))
    relabelled = maps[:, (2 * np.arange(P)) % P][:, :, (2 * np.arange(P)) % P]  # k becomes 2k, folded at P
    folded = [min(2 * k % P, P - 2 * k % P) - 1 for k in range(1, 6)]
    np.testing.assert_allclose(
        spectra.variance_fractions(BASIS, relabelled)[:, folded], spectra.variance_fractions(BASIS, maps)
    )


def test_columns_of_a_batch_are_maps_in_the_order_a_then_b() -> None:
    maps = np.random.default_rng(1).normal(size=(4, P, P)).astype(np.float32)
    batch = maps.reshape(4, -1).T
    np.testing.assert_array_equal(
        spectra.grid_variance_fractions(BASIS, batch), spectra.variance_fractions(BASIS, maps)
    )


def test_only_a_grid_of_all_pairs_is_square() -> None:
    assert spectra.is_square_grid(BASIS, (P, P))
    assert not any(spectra.is_square_grid(BASIS, grid) for grid in [None, (P,), (P, P + 1), (P + 1, P + 1), (P, P, P)])


def test_gini_is_zero_for_equal_values_and_one_half_when_half_have_all() -> None:
    assert spectra.gini(np.full(7, 2.5)) == pytest.approx(0)
    assert spectra.gini(np.array([0.0, 0.0, 3.0, 3.0])) == pytest.approx(0.5)
    assert spectra.gini(np.array([0.0, 0.0, 0.0, 1.0])) == pytest.approx(0.75)
    assert spectra.gini(np.zeros(3)) == 0


def characters(n: int) -> np.ndarray:
    """chi_S(x) as [set input], by the definition."""
    x = spectra.bits(np.arange(2**n), n)
    return (-1.0) ** (x @ x.T)


@given(st.integers(0, 10_000), st.integers(0, 6))
def test_the_fast_transform_is_the_sum_over_all_inputs(seed: int, n: int) -> None:
    values = np.random.default_rng(seed).normal(size=(2,) * n)
    np.testing.assert_allclose(
        spectra.walsh_transform(values).ravel(), characters(n) @ values.ravel() / 2**n, atol=1e-12
    )


@given(st.integers(0, 10_000), st.integers(0, 6))
def test_the_squares_of_the_coefficients_sum_to_the_mean_square(seed: int, n: int) -> None:
    values = np.random.default_rng(seed).normal(size=(2,) * n)
    assert (spectra.walsh_transform(values) ** 2).sum() == pytest.approx((values**2).mean())


def test_a_character_has_one_coefficient_and_two_have_two() -> None:
    chi = characters(4)
    one, two = (spectra.walsh_transform(f.reshape((2,) * 4)) for f in (chi[0b0101], 3 * chi[0b1111] - chi[0]))
    assert np.argwhere(one).tolist() == [[0, 1, 0, 1]]
    assert (one[0, 1, 0, 1], two[1, 1, 1, 1], two[0, 0, 0, 0]) == (1, 3, -1)
    assert np.count_nonzero(two) == 2


def test_twice_the_transform_is_the_function_over_the_number_of_inputs() -> None:
    values = np.random.default_rng(0).normal(size=(2,) * 5)
    np.testing.assert_allclose(spectra.walsh_transform(spectra.walsh_transform(values)), values / 32)
    with pytest.raises(ValueError, match=r"axes of size 2 alone; found the shape \(2, 3\)"):
        spectra.walsh_transform(np.zeros((2, 3)))


def test_the_bits_of_a_cube_are_in_c_order() -> None:
    assert spectra.bits(np.arange(8), 3).tolist() == [[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]
