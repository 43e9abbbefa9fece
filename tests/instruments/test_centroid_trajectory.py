"""Centroids that move along known paths."""

import numpy as np
import pytest

from miscope.analyzers.representation_geometry import BITS, RepresentationGeometry
from miscope.core import Context, NotApplicable, Probe
from miscope.instrument import Artifact
from miscope.maths.codes import coded
from miscope.maths.spectra import Basis
from miscope.trackers.centroid_trajectory import CentroidTrajectory, centroid_trajectory

PROBE = Probe(np.zeros((1, 1), dtype=np.int64), np.zeros(1, dtype=np.int64), np.ones(1, dtype=bool))
CONTEXT = Context(probe=PROBE, answer_position=0, basis=Basis("fourier", 5))
P, DIM = 5, 8
LEVEL = 2**-BITS  # of a coordinate as it is stored
ANGLE = 2 * np.pi * np.arange(P) / P
CIRCLE = np.concatenate([np.cos(ANGLE)[:, None], np.sin(ANGLE)[:, None], np.zeros((P, DIM - 2))], axis=1)


def geometry(centroid: np.ndarray) -> RepresentationGeometry:
    """The path needs centroids alone; the first site of width 2 stands still."""
    one, pair = np.ones(2), np.zeros((2, 2))
    codes = coded(np.concatenate([np.ones((P, 2)), centroid], axis=1).astype(np.float32), BITS)
    return RepresentationGeometry(
        site=("blocks.0.hook_resid_pre", "blocks.0.hook_resid_post"), width=np.array([2, DIM]), label=np.arange(P),
        n_inputs=np.full(P, 3), **codes._asdict(),
        radius=np.ones((2, P)), participation_ratio=np.ones((2, P)), spread=one, snr=one, chance_snr=0.1,
        fisher_mean=one, fisher_min=one, fisher_min_pair=pair, least_distance=one, variance_share=pair,
        has_native_order=True,
    )  # fmt: skip


def tracked(path: dict[int, np.ndarray]) -> CentroidTrajectory:
    outputs = {step: geometry(centroid) for step, centroid in path.items()}
    return centroid_trajectory(Artifact(tuple(outputs), outputs.__getitem__), CONTEXT)


def test_a_circle_that_grows_moves_at_its_rate_in_its_own_plane() -> None:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(DIM, DIM)))[0]
    found = tracked({step: step * CIRCLE @ turn for step in (1, 2, 4, 8)})
    np.testing.assert_allclose(found.explained_variance[1], [0.5, 0.5, 0, 0, 0, 0], atol=LEVEL)
    np.testing.assert_allclose(found.speed[1], 1, rtol=LEVEL)  # the radius grows by one a step
    np.testing.assert_allclose(found.centre_speed[1], 0, atol=LEVEL)
    np.testing.assert_allclose(found.fit[1], 1, rtol=LEVEL)
    radii = np.linalg.norm(found.coordinate[1], axis=2)
    np.testing.assert_allclose(radii, np.array([1, 2, 4, 8])[:, None] * np.ones(P), rtol=LEVEL)


def test_a_drift_of_all_is_told_apart_from_what_parts_them() -> None:
    drift = np.zeros(DIM)
    drift[2] = 3
    found = tracked({step: CIRCLE + step * drift for step in (0, 10, 20)})
    np.testing.assert_allclose(found.centre_speed[1], 3, rtol=1e-5)
    np.testing.assert_allclose(found.speed[1], 0, atol=1e-5)
    np.testing.assert_allclose(found.coordinate[1][0], found.coordinate[1][2], atol=1e-5)


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
    found = tracked({10 * i: plane for i, plane in enumerate(planes)})
    np.testing.assert_allclose(found.fit[1], [1, 1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(found.chance_fit[1], [1, 1, 1, 6 / 8], atol=1e-6)  # six axes of eight dimensions


def test_a_site_that_stands_still_in_one_point_has_no_axes() -> None:
    found = tracked({0: CIRCLE, 10: 2 * CIRCLE})
    assert np.isnan(found.explained_variance[0, :2]).all()
    assert np.isnan(found.fit[0]).all()
    assert not found.coordinate[0].any()


def test_one_checkpoint_is_no_path() -> None:
    with pytest.raises(NotApplicable, match="two checkpoints"):
        tracked({0: CIRCLE})
