"""Centroids that move along known paths."""

from dataclasses import replace

import numpy as np
import pytest
from judging import CONTEXT, assert_told_apart, judged, over

from miscope.core import NotApplicable
from miscope.instruments.centroid_trajectory.known import LEVEL, at_centroids
from miscope.instruments.centroid_trajectory.measure import CentroidTrajectory, centroid_trajectory

P, DIM = 5, 8
ANGLE = 2 * np.pi * np.arange(P) / P
CIRCLE = np.concatenate([np.cos(ANGLE)[:, None], np.sin(ANGLE)[:, None], np.zeros((P, DIM - 2))], axis=1)


def tracked(path: dict[int, np.ndarray]) -> CentroidTrajectory:
    return centroid_trajectory(over({step: at_centroids(centroid) for step, centroid in path.items()}), CONTEXT)


def test_a_drift_of_all_is_told_apart_from_what_parts_them_in_any_directions() -> None:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(DIM, DIM)))[0]
    path = tracked({step: (CIRCLE + 3 * step * np.eye(DIM)[2]) @ turn for step in (0, 10, 20)})
    np.testing.assert_allclose(path.explained_variance[1], [0.5, 0.5, 0, 0, 0, 0], atol=1e-4)
    np.testing.assert_allclose(path.centre_speed[1], 3, rtol=1e-4)
    np.testing.assert_allclose(path.speed[1], 0, atol=2e-3)
    np.testing.assert_allclose(np.linalg.norm(path.coordinate[1], axis=2), 1, rtol=0.02)


def test_a_dense_stretch_does_not_bend_the_axes() -> None:
    """Ten steps with the circle in one plane and ten in another weigh the same, however many checkpoints each has."""
    elsewhere = np.roll(CIRCLE, 2, axis=1)
    sparse = tracked({0: CIRCLE, 10: CIRCLE, 20: elsewhere, 30: elsewhere})
    dense = tracked({0: CIRCLE, 10: CIRCLE, **dict.fromkeys(range(20, 31), elsewhere)})
    np.testing.assert_allclose(sparse.explained_variance[1, :4], 0.25, atol=LEVEL)
    shares = dense.explained_variance[1]
    # times 10, 10 and 5.5, nine ones and one: 20 to 15.5, where equal weights would give 2 to 11
    np.testing.assert_allclose(shares[:4], np.array([20, 20, 15.5, 15.5]) / 71, atol=LEVEL)


def test_a_checkpoint_in_other_directions_has_a_low_fit() -> None:
    """Four planes of eight dimensions; six components keep three of them."""
    planes = [np.roll(CIRCLE, 2 * i, axis=1) * size for i, size in enumerate((4, 3, 2, 1))]
    path = tracked({10 * i: plane for i, plane in enumerate(planes)})
    np.testing.assert_allclose(path.fit[1], [1, 1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(path.chance_fit[1], [1, 1, 1, 6 / 8], atol=1e-6)  # six axes of eight dimensions


def test_a_site_that_stands_still_in_one_point_has_no_axes() -> None:
    path = tracked({0: CIRCLE, 10: 2 * CIRCLE})
    assert np.isnan(path.explained_variance[0, :2]).all() and np.isnan(path.fit[0]).all()
    assert not path.coordinate[0].any()


def test_one_checkpoint_is_no_path() -> None:
    with pytest.raises(NotApplicable, match="two checkpoints"):
        tracked({0: CIRCLE})


@pytest.mark.parametrize("view", ["overview", "fit", "speed"])
def test_answers_that_part_are_beyond_the_heap_and_the_axes_that_they_began_in(view: str) -> None:
    rng, angles = np.random.default_rng(0), 2 * np.pi * np.outer(np.arange(13), [1, 2, 3]) / 13
    heap, moves = rng.normal(size=(13, 40)) / 6**0.5, rng.normal(size=(6, 13, 40))
    rings = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) @ rng.normal(size=(6, 40))
    growing, walking = heap + np.multiply.outer((0, 0.1, 1, 5, 6, 7), rings), heap + moves.cumsum(axis=0) / 10 / 6**0.5
    grown, walked = (tracked(dict(zip(range(0, 600, 100), x, strict=True))) for x in (growing, walking))
    assert_told_apart(f"centroid_trajectory.{view}", grown, walked)
    late = judged(f"centroid_trajectory.{view}", replace(grown, steps=grown.steps + 500))
    assert late.is_beyond == (view != "overview")  # whose null is the untrained network


def test_few_answers_fit_into_any_axes() -> None:
    assert judged("centroid_trajectory.fit", tracked({0: CIRCLE, 10: 2 * CIRCLE})).reason == (
        "6 components hold all the variance of 5 right answers"
    )
