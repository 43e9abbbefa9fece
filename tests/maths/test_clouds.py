"""Clouds, distances and rings whose answers are worked out by hand."""

import numpy as np
import pytest

from miscope.maths import clouds


def circles(p: int, frequencies: list[int]) -> np.ndarray:
    """The ideal ring cloud: point r at [cos, sin](2 pi k r / p) for each k."""
    angle = 2 * np.pi * np.outer(np.arange(p), frequencies) / p
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1)


@pytest.mark.parametrize("frequencies", [[3], [3, 7], [1, 5, 9, 14]])
def test_equal_circles_have_two_dimensions_each(frequencies: list[int]) -> None:
    points = circles(31, frequencies)
    measured = clouds.clouds(points, np.array([31]))
    assert measured.participation_ratio[0] == pytest.approx(2 * len(frequencies))
    assert measured.variance[0] == pytest.approx(len(frequencies))
    np.testing.assert_allclose(measured.centroid, 0, atol=1e-12)


@pytest.mark.parametrize(("n", "dim"), [(40, 7), (7, 40)])
def test_the_gram_identity_gives_the_ratio_of_the_eigenvalues(n: int, dim: int) -> None:
    points = np.random.default_rng(0).normal(size=(n, dim)) * np.arange(1, dim + 1)
    eigenvalues = np.linalg.eigvalsh(np.cov(points.T))
    measured = clouds.clouds(points, np.array([n]))
    assert measured.participation_ratio[0] == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())
    assert measured.variance[0] == pytest.approx(points.var(axis=0).sum())


def test_a_cloud_that_is_one_point_has_no_ratio_even_after_rounding() -> None:
    rng = np.random.default_rng(1)
    points = np.repeat(rng.normal(size=(1, 50)), 9, axis=0).astype(np.float32) * (1 + 1e-7 * rng.normal(size=(9, 50)))
    measured = clouds.clouds(points.astype(np.float32), np.array([9]))
    assert measured.variance[0] == 0 and np.isnan(measured.participation_ratio[0])


@pytest.mark.parametrize(
    ("p", "frequencies", "expected"),
    [(113, [9, 33, 38, 55], 1.5215), (59, [5, 15, 21], 1.3705), (109, [4, 14, 27], 0.9578)],
)
def test_least_distances_of_ideal_rings(p: int, frequencies: list[int], expected: float) -> None:
    least, r, s = clouds.least_of_pairs(clouds.squared_distances(circles(p, frequencies)))
    assert np.sqrt(least) == pytest.approx(expected, abs=5e-5)
    assert r < s
    twice = [2 * k % p for k in frequencies]  # the same up to a unit of Z_p
    assert np.sqrt(clouds.least_of_pairs(clouds.squared_distances(circles(p, twice)))[0]) == pytest.approx(
        expected, abs=5e-5
    )


def test_the_nearest_pair_passes_over_pairs_that_were_not_measured() -> None:
    values = np.array([[0, np.nan, 3], [np.nan, 0, 2], [3, 2, 0]])
    assert clouds.least_of_pairs(values) == (2, 1, 2)
    assert np.isnan(clouds.least_of_pairs(np.full((3, 3), np.nan))[0])


def test_components_of_an_ellipse_are_its_axes() -> None:
    angle = 2 * np.pi * np.arange(12) / 12
    measured = clouds.components(np.stack([3 * np.cos(angle), np.sin(angle), 0 * angle], axis=1) + 5)
    np.testing.assert_allclose(measured.shares, [0.9, 0.1, 0], atol=1e-12)
    assert measured.scores[:, 0].max() == pytest.approx(3)


def test_a_circle_is_circular_however_it_is_turned_and_aligns_at_its_frequency() -> None:
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(2, 2)))[0]
    for k in (1, 4, 15):
        scores = clouds.components(circles(31, [k]) @ turn).scores
        assert clouds.circularity(scores) == pytest.approx(1)
        assert clouds.ring(scores[:, 0], scores[:, 1]) == pytest.approx((1, k))
    scores = clouds.components(circles(31, [4, 9]) * [3, 1, 3, 1]).scores
    assert clouds.circularity(scores) == pytest.approx(1)
    assert clouds.ring(scores[:, 0], scores[:, 1]).frequency == 4


@pytest.mark.parametrize(("n_classes", "each", "dim"), [(2, 20, 3), (13, 8, 10)])
def test_one_random_labelling_in_a_hundred_has_a_larger_ratio(n_classes, each, dim):
    rng, ends = np.random.default_rng(0), each * np.arange(1, n_classes + 1)
    ratios = []
    for _ in range(2000):
        centroid, variance, _ = clouds.clouds(rng.normal(size=(n_classes * each, dim)), ends)
        ratios.append(((centroid - centroid.mean(axis=0)) ** 2).sum(axis=1).mean() / variance.mean())
    beyond = np.mean(np.array(ratios) > clouds.rare_snr(n_classes, n_classes * each, float(dim)))
    assert 0.004 < beyond < 0.02


def test_random_points_are_no_ring():
    rng, chance = np.random.default_rng(1), clouds.rare_rings(59)
    scores = [clouds.components(rng.normal(size=(59, 40))).scores for _ in range(50)]
    assert max(clouds.circularity(one) for one in scores) < chance.circularity < 0.7
    assert max(clouds.ring(one[:, 0], one[:, 1]).alignment for one in scores) < chance.alignment < 0.95


def test_shuffled_pairs_have_the_mean_of_all_and_planted_ones_are_beyond():
    values = np.random.default_rng(2).normal(size=(40, 40))
    rows, columns = np.arange(0, 40, 2), np.arange(1, 40, 2)
    assert clouds.rare_mean_of_pairs(values, rows, columns) == pytest.approx(2.33 / 20**0.5, abs=0.25)
    values[rows, columns] += 3
    assert values[rows, columns].mean() > clouds.rare_mean_of_pairs(values, rows, columns)
