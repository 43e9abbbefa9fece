"""Matrices whose eigenvalues are known."""

import numpy as np
import pytest

from miscope.maths.curvature import Products, extreme_eigenvalues, trace


def symmetric(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """A matrix with these eigenvalues, in random directions."""
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))[0]
    return rotation @ np.diag(values) @ rotation.T


def products(matrix: np.ndarray) -> Products:
    return lambda vectors: vectors @ matrix


def test_the_extremes_of_a_known_spectrum_lie_within_the_errors_that_are_stated() -> None:
    values = np.concatenate([[-7], np.linspace(-1, 1, 200), [5, 9, 40]])
    measured = extreme_eigenvalues(products(symmetric(values)), len(values), tolerance=1e-3)
    assert measured.largest == pytest.approx(40, abs=max(measured.largest_error, 1e-9))
    assert measured.largest_error <= 0.04
    assert measured.least == pytest.approx(-7, abs=max(measured.least_error, 1e-9))
    assert measured.n_products < 20


def test_one_that_is_not_converged_says_by_how_much() -> None:
    values = np.linspace(0, 1, 2000)
    measured = extreme_eigenvalues(lambda v: v * values, len(values), tolerance=1e-9, most_products=10)
    assert measured.n_products == 10
    assert measured.largest_error > 1e-3
    assert abs(1 - measured.largest) < 0.1


def test_a_matrix_of_few_eigenvalues_is_whole_before_the_products_run_out() -> None:
    measured = extreme_eigenvalues(products(3 * np.eye(20)), 20)
    assert (measured.largest, measured.least, measured.n_products) == (pytest.approx(3), pytest.approx(3), 1)
    assert extreme_eigenvalues(products(np.zeros((5, 5))), 5).largest == 0
    small = extreme_eigenvalues(products(symmetric(np.array([-2.0, 0.5, 1, 4]))), 4, tolerance=0)  # by all products
    assert (small.largest, small.least) == (pytest.approx(4), pytest.approx(-2))
    assert small.largest_error < 1e-12


def test_the_trace_of_a_diagonal_matrix_is_exact_and_any_other_lies_within_its_standard_error() -> None:
    assert trace(products(np.diag([1.0, 2, 3, -4])), 4, n_vectors=3) == (2, 0)
    values = np.linspace(-1, 3, 300)
    measured = [trace(products(symmetric(values)), 300, n_vectors=20, seed=seed) for seed in range(40)]
    z = np.array([(one.value - values.sum()) / one.standard_error for one in measured])
    assert abs(z.mean()) < 0.5
    assert 0.7 < z.std() < 1.4
