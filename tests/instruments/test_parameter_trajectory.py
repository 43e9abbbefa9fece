"""Paths whose shape is known."""

import calibration_model
import numpy as np
import pytest
from miscope.trackers.parameter_trajectory import ParameterTrajectory, parameter_trajectory

from miscope.core import Checkpoint, Context, ModelConfig, NotApplicable, Probe
from miscope.maths.spectra import Basis

MODEL = ModelConfig(n_layers=1, d_model=4, n_heads=1, d_head=4, d_mlp=4, n_ctx=1, d_vocab=4, d_vocab_out=4)
PROBE = Probe(np.zeros((1, 1), dtype=np.int64), np.zeros(1, dtype=np.int64), np.ones(1, dtype=bool))
CONTEXT = Context(probe=PROBE, answer_position=0, basis=Basis("fourier", 4))


def measured(path: np.ndarray, steps: list[int] | None = None, name: str = "embed.W_E") -> ParameterTrajectory:
    """The trajectory of a network whose only matrix, one row high, takes the rows of `path`."""
    named = steps or list(range(0, 10 * len(path), 10))
    rows = zip(named, path.astype(np.float32), strict=True)
    return parameter_trajectory({step: Checkpoint(step, MODEL, {name: row[None]}) for step, row in rows}, CONTEXT)


def test_a_straight_path_has_one_component_and_never_turns() -> None:
    found = measured(np.outer(np.arange(6), [3.0, 4.0]))
    np.testing.assert_allclose(found.explained_variance[0], [1, 0, 0, 0, 0], atol=1e-9)
    np.testing.assert_allclose(found.turning, 1)
    np.testing.assert_allclose(found.speed, 0.5)  # 5 in 10 steps
    np.testing.assert_allclose(found.distance[0], 5 * np.arange(6))
    np.testing.assert_allclose(np.abs(found.coordinate[0, :, 0]), 5 * np.abs(np.arange(6) - 2.5))


def test_weights_that_shrink_move_along_themselves_and_others_aside() -> None:
    shrinking = measured(np.outer(1 - np.arange(6) / 10, [3.0, 4.0]))
    np.testing.assert_allclose(shrinking.radial[0], -np.arange(6) / 2, atol=1e-6)
    np.testing.assert_allclose(shrinking.distance[0], np.arange(6) / 2, atol=1e-6)
    aside = measured(np.array([[0.0, 2.0]]) + np.outer(np.arange(6), [3.0, 0.0]))
    np.testing.assert_allclose(aside.radial, 0, atol=1e-6)
    assert not measured(np.outer(np.arange(6), [3.0, 4.0])).radial.any()  # from nothing no direction is its own


def test_rates_divide_by_the_gap_where_checkpoints_are_uneven() -> None:
    path = np.outer([0, 1, 11, 111], [1.0, 0.0])
    np.testing.assert_allclose(measured(path, steps=[0, 1, 11, 111]).speed[0], 1)


def test_a_dense_stretch_does_not_bend_the_components() -> None:
    even, dense = list(range(0, 129, 4)), [*range(0, 64, 4), *range(64, 129)]
    paths = [np.array([[min(t, 64), max(t - 64, 0) / 4] for t in steps]) for steps in (even, dense)]
    shares = [measured(path, steps).explained_variance[0, 0] for path, steps in zip(paths, (even, dense), strict=True)]
    unweighted = measured(paths[1]).explained_variance[0, 0]
    assert shares[0] == pytest.approx(shares[1], abs=0.002)
    assert abs(unweighted - shares[0]) > 0.01


def test_a_right_angle_has_cosine_zero_and_a_reversal_minus_one() -> None:
    found = measured(np.array([[0, 0], [1, 0], [1, 1], [1, 0.0]]))
    np.testing.assert_allclose(found.turning[0], [0, -1], atol=1e-12)


def test_a_path_that_stands_still_is_silent() -> None:
    found = measured(np.tile([1.0, 2.0], (5, 1)))
    assert not found.speed.any()
    assert not found.explained_variance.any()
    assert not found.loop_area.any()
    assert np.isnan(found.turning).all()
    assert np.isnan(found.proximity).all()


def test_the_scores_keep_the_distances_between_checkpoints() -> None:
    path = np.random.default_rng(0).normal(size=(7, 40))
    scores = measured(path).coordinate[0]
    apart, expected = (np.linalg.norm(x[:, None] - x[None], axis=-1) for x in (scores, path))
    np.testing.assert_allclose(apart, expected, rtol=1e-5, atol=1e-6)


def test_rotating_parameter_space_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    path, rotation = rng.normal(size=(6, 12)), np.linalg.qr(rng.normal(size=(12, 12)))[0]
    before, after = measured(path), measured(path @ rotation)
    for name in ("explained_variance", "speed", "turning", "distance", "coordinate", "loop_area"):
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), rtol=1e-4, atol=1e-4)


def test_a_random_walk_has_the_shares_of_the_null() -> None:
    walk = np.random.default_rng(2).normal(size=(100, 20_000)).cumsum(axis=0)
    found = measured(walk)
    np.testing.assert_allclose(found.explained_variance[0, :3], [0.608, 0.152, 0.068], atol=0.01)
    np.testing.assert_allclose(found.explained_variance[0], found.random_walk_variance, atol=0.01)


def test_a_closed_circle_in_the_second_and_third_component_encloses_its_area() -> None:
    t = 2 * np.pi * np.arange(64) / 64
    found = measured(np.stack([100 * np.cos(7 * t), 2 * np.cos(t), np.sin(t)], axis=1))
    assert abs(found.loop_area[0]) == pytest.approx(2 * np.pi, rel=0.01)


def test_groups_are_those_that_the_model_has_and_add_up_to_all() -> None:
    rng, names = np.random.default_rng(3), ("embed.W_E", "blocks.0.attn.W_Q", "blocks.0.mlp.W_in", "ln_final.w")
    steps = {s: Checkpoint(s, MODEL, {n: rng.normal(size=(3, 2)).astype("f4") for n in names}) for s in range(5)}
    found = parameter_trajectory(steps, CONTEXT)
    assert found.group == ("all", "embedding", "attention", "mlp")
    assert (found.distance[0, 1:] ** 2 > (found.distance[1:, 1:] ** 2).sum(axis=0)).all()  # the final norm moves too
    np.testing.assert_allclose(np.diag(found.proximity), 1)
    without_mlp = measured(np.eye(3), name="blocks.0.attn.W_Q")
    assert without_mlp.group == ("all", "attention")
    np.testing.assert_allclose(without_mlp.proximity, 1)


def test_two_checkpoints_have_one_component_and_one_has_no_path() -> None:
    found = measured(np.array([[0, 0], [3, 4.0]]))
    assert found.coordinate.shape == (2, 2, 1)
    assert found.turning.shape == (2, 0)
    with pytest.raises(NotApplicable, match="two checkpoints"):
        measured(np.ones((1, 2)))


def test_the_reference_run_moves_further_than_a_standstill_and_in_few_components() -> None:
    found = parameter_trajectory(
        {s: calibration_model.weights_only(s) for s in calibration_model.STEPS}, calibration_model.context()
    )
    assert found.group == ("all", "embedding", "attention", "mlp")
    assert found.explained_variance[0, :3].sum() > 0.9
    assert (found.proximity > 0.8).all()
