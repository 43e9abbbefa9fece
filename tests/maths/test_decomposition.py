"""Effective dimensions, path PCA and its null, worked out by hand."""

import numpy as np
import pytest

from miscope.maths.decomposition import (
    centred_gram,
    cosines_of_all,
    dimension,
    effective_rank,
    gaussian_cka,
    kernel,
    linear_cka,
    participation_ratio,
    principal_components,
    random_walk_shares,
    spectrum,
    turns,
    without_bias,
)


@pytest.mark.parametrize("n", [1, 4, 30])
def test_equal_singular_values_count_themselves(n: int) -> None:
    assert participation_ratio(np.full(n, 0.7)) == pytest.approx(n)
    assert effective_rank(np.full(n, 0.7)) == pytest.approx(n)


def test_unequal_singular_values_count_for_less_and_zeros_for_nothing() -> None:
    assert participation_ratio(np.array([3.0, 1.0])) == pytest.approx(16 / 10)
    assert effective_rank(np.array([3.0, 1.0, 0.0])) == pytest.approx(4 / 3**0.75)  # exp of ln 4 - (3/4) ln 3
    assert participation_ratio(np.zeros(3)) == effective_rank(np.zeros(3)) == 0


def test_the_spectrum_survives_rotation_and_is_descending() -> None:
    rng = np.random.default_rng(0)
    matrix, rotation = rng.normal(size=(6, 9)), np.linalg.qr(rng.normal(size=(9, 9)))[0]
    np.testing.assert_allclose(spectrum(matrix @ rotation), spectrum(matrix))
    assert (np.diff(spectrum(matrix)) <= 0).all()


def test_components_from_the_gram_matrix_are_those_of_the_points() -> None:
    points = np.random.default_rng(1).normal(size=(8, 50))
    centred = points - points.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    measured = principal_components(centred_gram(points @ points.T, np.ones(8)), np.ones(8), 7)
    np.testing.assert_allclose(np.abs(measured.scores), np.abs(u[:, :7] * s[:7]), atol=1e-9)
    np.testing.assert_allclose(measured.shares, s[:7] ** 2 / (s**2).sum())


def test_a_whole_weight_counts_as_that_many_copies_of_the_point() -> None:
    points = np.random.default_rng(2).normal(size=(4, 9))
    weights, copies = np.array([1.0, 3.0, 1.0, 2.0]), np.repeat(points, [1, 3, 1, 2], axis=0)
    weighted = principal_components(centred_gram(points @ points.T, weights), weights, 3)
    copied = principal_components(centred_gram(copies @ copies.T, np.ones(7)), np.ones(7), 3)
    np.testing.assert_allclose(weighted.scores, copied.scores[[0, 1, 4, 5]], atol=1e-9)
    np.testing.assert_allclose(weighted.shares, copied.shares)


def test_the_largest_score_of_each_component_is_positive_and_points_that_do_not_differ_have_none() -> None:
    points = np.random.default_rng(3).normal(size=(8, 20))
    for sign in (1, -1):
        scores = principal_components(centred_gram(points @ points.T, np.ones(8)), np.ones(8), 5).scores
        assert (scores.max(axis=0) == np.abs(scores).max(axis=0)).all()
        points = sign * points
    alike = principal_components(np.zeros((4, 4)), np.ones(4), 2)
    assert not alike.scores.any() and not alike.shares.any()


def test_a_random_walk_has_the_shares_of_the_null() -> None:
    walk = np.random.default_rng(4).normal(size=(120, 8000)).cumsum(axis=0)
    measured = principal_components(centred_gram(walk @ walk.T, np.ones(120)), np.ones(120), 3)
    np.testing.assert_allclose(measured.shares, [0.608, 0.152, 0.068], atol=0.01)
    np.testing.assert_allclose(random_walk_shares(3), [0.6079, 0.1520, 0.0675], atol=1e-4)
    assert random_walk_shares(100_000).sum() == pytest.approx(1, abs=1e-5)


def test_cka_is_one_under_rotation_and_scaling_and_small_for_independent_points() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(200, 3))
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    gram, other = (centred_gram(z @ z.T, np.ones(200)) for z in (x, 7 * x @ rotation))
    noise = rng.normal(size=(200, 3))
    assert linear_cka(gram, other) == pytest.approx(1)
    assert linear_cka(gram, centred_gram(noise @ noise.T, np.ones(200))) < 0.1
    assert np.isnan(linear_cka(gram, np.zeros_like(gram)))
    for measured in ckas(x, 3 * x @ rotation - 2):  # and a shift
        np.testing.assert_allclose(measured, 1, atol=1e-5)


def ckas(*values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """CKA and debiased CKA of every two."""
    kernels = np.stack([kernel(x.astype(np.float32)) for x in values])
    unbiased = np.stack([without_bias(one) for one in kernels])
    return tuple(cosines_of_all(x.reshape(len(x), -1).copy()) for x in (kernels, unbiased))  # type: ignore[return-value]


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
    measured = (without_bias(k.astype("f4")).astype(float) * without_bias(m.astype("f4"))).sum() / (n * (n - 3))
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    parts = np.trace(k @ m) + one @ k @ one * (one @ m @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * one @ k @ m @ one
    assert measured == pytest.approx(parts / (n * (n - 3)), rel=1e-4)


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
    measured = ckas(*values)[0][~np.eye(40, dtype=bool)].mean()
    assert measured == pytest.approx(np.mean([dimension(gram) for gram in grams]) / 49, rel=0.05)


def test_inputs_that_are_all_one_have_no_similarity() -> None:
    cka, debiased = ckas(np.full((9, 4), 0.3), np.random.default_rng(5).normal(size=(9, 4)))
    for measured in (cka, debiased):
        np.testing.assert_array_equal(measured, [[np.nan, np.nan], [np.nan, 1]])
    assert np.isnan(dimension(kernel(np.full((9, 4), 0.3, dtype=np.float32))))


def test_turns_keep_angles_that_a_cosine_cannot_tell_from_none() -> None:
    angles = np.radians([0, 1e-3, 30, 120])
    units = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    np.testing.assert_allclose(turns(units), [1e-3, 30 - 1e-3, 90], rtol=1e-3)
    assert np.isnan(turns(np.array([[1, 0], [0, 0]], dtype=np.float32))[0])
