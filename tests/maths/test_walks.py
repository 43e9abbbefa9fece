"""Random walks of given moves: their shares, their distance, and what an even pace is."""

import numpy as np
import pytest

from miscope.maths import walks
from miscope.maths.decomposition import centred_gram, linear_cka, random_walk_shares


def test_a_walk_has_the_moves_and_the_drift_that_it_was_given():
    lengths, drift = np.array([1.0, 0.0, 3.0]), np.array([0.0, -1.0, -2.0, -2.5])
    points = next(walks.random_walks(lengths, drift))
    assert points.shape == (4, walks.DIMENSIONS + 1)
    np.testing.assert_allclose(np.linalg.norm(np.diff(points[:, :-1], axis=0), axis=1), lengths, atol=1e-12)
    np.testing.assert_array_equal(points[:, -1], drift)


def test_even_walks_have_the_shares_of_long_ones_in_the_mean():
    drawn = [walks.shares(points, np.ones(120))[:3] for points in walks.random_walks(np.ones(119), np.zeros(120))]
    np.testing.assert_allclose(np.mean(drawn, axis=0), random_walk_shares(3), atol=0.02)


def test_shares_are_those_of_weighted_points():
    points, copies = np.random.default_rng(0).normal(size=(5, 7)), [1, 3, 1, 2, 1]
    repeated = np.repeat(points, copies, axis=0)
    weighted, whole = walks.shares(points, np.array(copies, dtype=float)), walks.shares(repeated, np.ones(8))
    np.testing.assert_allclose(weighted, whole[:5], atol=1e-12)
    assert not walks.shares(np.ones((4, 2)), np.ones(4)).any()


def test_proximity_is_the_cka_of_the_points():
    rng, weights = np.random.default_rng(1), np.ones(9)
    x, y = rng.normal(size=(2, 9, 4))
    grams = [centred_gram(points @ points.T, weights) for points in (x, y)]
    assert walks.proximity(x, y, weights) == pytest.approx(linear_cka(*grams))
    assert np.isnan(walks.proximity(x, np.ones((9, 2)), weights))


def test_coins_make_a_mean_cosine_that_one_path_in_a_hundred_exceeds():
    cosines = np.random.default_rng(2).uniform(0.2, 1, size=40)
    signs = np.random.default_rng(3).choice([-1, 1], size=(20_000, 40))
    assert 0.005 < ((signs * cosines).mean(axis=1) > walks.straightness_of_coins(cosines)).mean() < 0.015
    assert walks.straightness_of_coins(np.full(7, 0.9)) < 0.9 <= walks.straightness_of_coins(np.full(6, 0.9))
    assert np.isnan(walks.straightness_of_coins(np.zeros(0)))


def test_a_move_is_told_from_the_median_one_and_an_even_pace_is_no_burst_however_moves_grow_with_the_gap():
    gaps = np.array([50.0, 50, 50, 100, 100, 300, 300])
    assert [walks.burst(gaps**power, gaps) for power in (0.0, 0.5, 1.0)] == pytest.approx([1, 1, 1])
    assert walks.burst(np.array([1.0, 1, 7, 1, 1]), np.full(5, 10.0)) == pytest.approx(7)
    assert walks.burst(np.array([0.001, 0.003, 0.001]), np.ones(3), least=0.1) == 1
    assert np.isnan(walks.burst(np.array([1.0, 2.0]), np.ones(2)))
    assert np.isnan(walks.burst(np.array([0.0, 0.0, 0.0, 1.0]), np.ones(4)))


def test_even_checkpoints_weigh_one_and_dense_ones_less() -> None:
    np.testing.assert_allclose(walks.time_weights(np.array([0, 10, 20, 30])), 1)
    # gaps 10, 10, 20, 20, so the times are 10, 10, 15, 20, 20: mean 15
    np.testing.assert_allclose(walks.time_weights(np.array([0, 10, 20, 40, 60])), np.array([10, 10, 15, 20, 20]) / 15)
    assert walks.time_weights(np.array([700])).tolist() == [1]  # one alone


def test_the_unit_square_encloses_one_or_minus_one_and_a_figure_of_eight_nothing_in_sum() -> None:
    x, y = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0, 1.0])
    assert walks.signed_area(x, y) == pytest.approx(1)
    assert walks.signed_area(x[::-1], y[::-1]) == pytest.approx(-1)
    t = np.linspace(0, 2 * np.pi, 101)[:-1]
    assert walks.signed_area(np.sin(t), np.sin(2 * t)) == pytest.approx(0, abs=1e-12)


def test_cosines_tell_straight_on_from_a_right_angle_and_from_standing_still() -> None:
    measured = walks.cosines(
        np.array([6.0, 0.0, -2.0, 0.0]), np.array([4.0, 1.0, 2.0, 0.0]), np.array([9.0, 1.0, 2.0, 1.0])
    )
    np.testing.assert_allclose(measured, [1, 0, -1, np.nan])
