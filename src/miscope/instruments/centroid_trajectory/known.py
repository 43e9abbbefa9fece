"""Centroids on a circle whose path is known."""

from collections.abc import Iterator

import numpy as np

from miscope.calibration.models import probe, tracked
from miscope.instruments.centroid_trajectory.measure import instrument
from miscope.instruments.representation_geometry.measure import BITS, RepresentationGeometry
from miscope.maths.codes import quantize
from miscope.plugin import Answer

LEVEL = 2**-BITS  # of a centroid's coordinate as it is stored


def a_circle_that_grows_and_drifts() -> Iterator[Answer]:
    """Five centroids on a circle whose radius is the step and whose centre moves by 3 a step, at steps 1, 2, 4, 8.

    Source: geometry.
    """
    angle = 2 * np.pi * np.arange(5) / 5
    circle = np.stack([np.cos(angle), np.sin(angle), *np.zeros((6, 5))], axis=1)
    path = {step: at_centroids(step * circle + 3 * step * np.eye(8)[2]) for step in (1, 2, 4, 8)}
    trajectory = tracked(instrument, path, context=probe(5))
    error = np.abs(np.linalg.norm(trajectory.coordinate[1], axis=2) / np.array([[1], [2], [4], [8]]) - 1).max()
    yield Answer("share of each of two components", 0.5, trajectory.explained_variance[1, 1], LEVEL)
    yield Answer("speed about the centre", 1, trajectory.speed[1].mean(), LEVEL)
    yield Answer("speed of the centre", 3, trajectory.centre_speed[1].mean(), 1e-5)
    yield Answer("largest relative error of a radius", 0, error, LEVEL)
    yield Answer("least fit", 1, trajectory.fit[1].min(), 1e-5)


def at_centroids(points: np.ndarray) -> RepresentationGeometry:
    """A geometry of which the centroids alone are read, after a site of width 2 where all are one point."""
    n, one, pair = len(points), np.ones(2), np.zeros((2, 2))
    return RepresentationGeometry(
        site=("blocks.0.hook_resid_pre", "blocks.0.hook_resid_post"), width=np.array([2, points.shape[1]]),
        label=np.arange(n), n_inputs=np.full(n, 2), radius=np.ones((2, n)), participation_ratio=np.ones((2, n)),
        spread=one, snr=one, chance_snr=1.0, fisher_mean=one, fisher_min=one, fisher_min_pair=pair, least_distance=one,
        variance_share=pair, has_native_order=True,
        **quantize(np.hstack([np.ones((n, 2)), points]).astype(np.float32), BITS)._asdict(),
    )  # fmt: skip


cases = (a_circle_that_grows_and_drifts,)
