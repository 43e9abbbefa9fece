"""Singular values at random, against matrices that are drawn."""

import numpy as np
import pytest

from miscope.maths.decomposition import participation_ratio, spectrum
from miscope.maths.random_matrices import gaussian_spectra


@pytest.mark.parametrize("shape", [(20, 20), (60, 24), (16, 90), (3, 30)])
def test_the_singular_values_are_those_of_gaussian_matrices(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    drawn = np.stack([spectrum(rng.normal(size=shape)) for _ in range(200)])
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    found = gaussian_spectra(*shape)
    error = np.sqrt(drawn.var(axis=0) / len(drawn) + found.var(axis=0) / len(found))
    assert (np.abs(found.mean(axis=0) - drawn.mean(axis=0)) < 4.5 * error).all()
    np.testing.assert_allclose(found.std(axis=0), drawn.std(axis=0), rtol=0.35)


def test_a_random_embedding_has_the_participation_ratio_of_an_untrained_one() -> None:
    """The calibration model's W_E at initialisation, 114 x 128, has 86.03."""
    ratios = [participation_ratio(values) for values in gaussian_spectra(114, 128)]
    assert abs(np.mean(ratios) - 86.03) < 3 * np.std(ratios)


def test_a_matrix_of_one_direction_has_one_value_and_every_matrix_the_norm_1() -> None:
    np.testing.assert_allclose(gaussian_spectra(1, 7), 1)
    np.testing.assert_allclose(np.linalg.norm(gaussian_spectra(40, 300), axis=1), 1)


def test_the_same_shape_has_the_same_values_and_the_transpose_too() -> None:
    np.testing.assert_array_equal(gaussian_spectra(12, 30), gaussian_spectra(30, 12))
