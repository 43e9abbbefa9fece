"""Descriptions of inputs that are alike by a known amount."""

import numpy as np
import pytest

from miscope.maths.similarity import cosines_of_all, dimension, gaussian_cka, kernel, turns, without_bias


def ckas(*values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """CKA and debiased CKA of every two."""
    kernels = np.stack([kernel(x.astype(np.float32)) for x in values])
    unbiased = np.stack([without_bias(one) for one in kernels])
    return tuple(cosines_of_all(x.reshape(len(x), -1).copy()) for x in (kernels, unbiased))  # type: ignore[return-value]


def test_cka_is_one_under_rotation_scale_and_shift() -> None:
    rng = np.random.default_rng(0)
    x, turn = rng.normal(size=(40, 12)), np.linalg.qr(rng.normal(size=(12, 12)))[0]
    for found in ckas(x, 3 * x @ turn - 2):
        np.testing.assert_allclose(found, 1, atol=1e-5)


def test_cka_is_the_formula_of_the_paper() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(30, 5)), rng.normal(size=(30, 9)) ** 2
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    expected = np.linalg.norm(b.T @ a) ** 2 / np.linalg.norm(a.T @ a) / np.linalg.norm(b.T @ b)
    assert ckas(x, y)[0][0, 1] == pytest.approx(expected, rel=1e-4)


def test_the_unbiased_kernel_gives_the_unbiased_hsic() -> None:
    rng = np.random.default_rng(2)
    n, one = 12, np.ones(12)
    k, m = (np.asarray(x @ x.T) for x in (rng.normal(size=(n, 4)), rng.normal(size=(n, 7))))
    found = (without_bias(k.astype("f4")).astype(float) * without_bias(m.astype("f4"))).sum() / (n * (n - 3))
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    parts = np.trace(k @ m) + one @ k @ one * (one @ m @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * one @ k @ m @ one
    assert found == pytest.approx(parts / (n * (n - 3)), rel=1e-4)


@pytest.mark.parametrize(("n", "dim"), [(60, 200), (200, 60), (100, 100)])
def test_independent_gaussians_have_the_closed_form_and_none_of_it_debiased(n: int, dim: int) -> None:
    rng = np.random.default_rng(3)
    others = ~np.eye(12, dtype=bool)
    cka, debiased = ckas(*rng.normal(size=(12, n, dim)))
    assert cka[others].mean() == pytest.approx(gaussian_cka(n, dim), rel=0.01)
    assert abs(debiased[others].mean()) < 0.01
    dimensions = [dimension(kernel(x.astype(np.float32))) for x in rng.normal(size=(12, n, dim))]
    assert np.mean(dimensions) / (n - 1) == pytest.approx(gaussian_cka(n, dim), rel=0.02)


def test_two_stretched_clouds_turned_at_random_have_the_cka_of_their_dimensions() -> None:
    rng = np.random.default_rng(4)
    stretch = np.array([5.0, 3, 1, 1, 0.5])
    values = [np.linalg.qr(rng.normal(size=(50, 5)))[0] * stretch for _ in range(40)]
    grams = [kernel(x.astype(np.float32)) for x in values]
    found = ckas(*values)[0][~np.eye(40, dtype=bool)].mean()
    assert found == pytest.approx(np.mean([dimension(gram) for gram in grams]) / 49, rel=0.05)


def test_inputs_that_are_all_one_have_no_similarity() -> None:
    cka, debiased = ckas(np.full((9, 4), 0.3), np.random.default_rng(5).normal(size=(9, 4)))
    for found in (cka, debiased):
        assert np.isnan(found[0]).all()
        assert np.isnan(found[:, 0]).all()
        assert found[1, 1] == 1
    assert np.isnan(dimension(kernel(np.full((9, 4), 0.3, dtype=np.float32))))


def test_turns_keep_angles_that_a_cosine_cannot_tell_from_none() -> None:
    angles = np.radians([0, 1e-3, 30, 120])
    units = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    np.testing.assert_allclose(turns(units), [1e-3, 30 - 1e-3, 90], rtol=1e-3)
    assert np.isnan(turns(np.array([[1, 0], [0, 0]], dtype=np.float32))[0])
