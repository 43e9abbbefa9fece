"""What chance gives clouds: each bound is held by ninety-nine in a hundred draws of another kind."""

import numpy as np
import pytest

from miscope.maths.clouds import circularity, clouds, components, ring
from miscope.maths.random_clouds import rare_mean_of_pairs, rare_rings, rare_snr


@pytest.mark.parametrize(("n_classes", "each", "dim"), [(2, 20, 3), (13, 8, 10)])
def test_one_random_labelling_in_a_hundred_has_a_larger_ratio(n_classes, each, dim):
    rng, ends = np.random.default_rng(0), each * np.arange(1, n_classes + 1)
    found = []
    for _ in range(2000):
        centroid, variance, _ = clouds(rng.normal(size=(n_classes * each, dim)), ends)
        found.append(((centroid - centroid.mean(axis=0)) ** 2).sum(axis=1).mean() / variance.mean())
    beyond = np.mean(np.array(found) > rare_snr(n_classes, n_classes * each, float(dim)))
    assert 0.004 < beyond < 0.02


def test_random_points_are_no_ring():
    rng, chance = np.random.default_rng(1), rare_rings(59)
    scores = [components(rng.normal(size=(59, 40))).scores for _ in range(50)]
    assert max(circularity(one) for one in scores) < chance.circularity
    assert max(ring(one[:, 0], one[:, 1]).alignment for one in scores) < chance.alignment
    assert chance.circularity < 0.7
    assert chance.alignment < 0.95


def test_shuffled_pairs_have_the_mean_of_all_and_planted_ones_are_beyond():
    values = np.random.default_rng(2).normal(size=(40, 40))
    rows, columns = np.arange(0, 40, 2), np.arange(1, 40, 2)
    assert rare_mean_of_pairs(values, rows, columns) == pytest.approx(2.33 / 20**0.5, abs=0.25)
    values[rows, columns] += 3
    assert values[rows, columns].mean() > rare_mean_of_pairs(values, rows, columns)
