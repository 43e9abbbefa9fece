"""Paths whose shape is known."""

import calibration_model
import numpy as np
import pytest
from judging import CONTEXT

from miscope.calibration.models import shape
from miscope.catalog import builtin
from miscope.core import Checkpoint, NotApplicable
from miscope.instrument import null_of
from miscope.instruments.parameter_trajectory.measure import ParameterTrajectory, nulls, parameter_trajectory

NAMES = ("embed.W_E", "blocks.0.attn.W_Q", "blocks.0.mlp.W_in", "ln_final.w")


def measured(*paths: np.ndarray, steps: list[int] | None = None, names: tuple[str, ...] = NAMES) -> ParameterTrajectory:
    """The trajectory of a network whose matrices, one row high, take the rows of the paths."""
    named = [(name, path.astype(np.float32)) for name, path in zip(names, paths, strict=False)]
    weights = ({name: path[i : i + 1] for name, path in named} for i in range(len(paths[0])))
    at = steps or range(0, 10 * len(paths[0]), 10)
    path = {step: Checkpoint(step, shape(), one) for step, one in zip(at, weights, strict=True)}
    return parameter_trajectory(path, CONTEXT)


def test_weights_that_shrink_move_along_themselves_and_others_aside() -> None:
    shrinking = measured(np.outer(1 - np.arange(6) / 10, [3.0, 4.0]))
    np.testing.assert_allclose(shrinking.radial[0], -np.arange(6) / 2, atol=1e-6)
    np.testing.assert_allclose(shrinking.distance[0], np.arange(6) / 2, atol=1e-6)
    aside = measured(np.array([[0.0, 2.0]]) + np.outer(np.arange(6), [3.0, 0.0]))
    np.testing.assert_allclose(aside.radial, 0, atol=1e-6)
    assert not measured(np.outer(np.arange(6), [3.0, 4.0])).radial.any()  # from nothing no direction is its own


def test_rates_divide_by_the_gap_and_a_dense_stretch_does_not_bend_the_components() -> None:
    path = np.outer([0, 1, 11, 111], [1.0, 0.0])
    np.testing.assert_allclose(measured(path, steps=[0, 1, 11, 111]).speed[0], 1)
    even, dense = list(range(0, 129, 4)), [*range(0, 64, 4), *range(64, 129)]
    paths = [np.array([[min(t, 64), max(t - 64, 0) / 4] for t in steps]) for steps in (even, dense)]
    shares = [measured(path, steps=at).explained_variance[0, 0] for path, at in zip(paths, (even, dense), strict=True)]
    unweighted = measured(paths[1]).explained_variance[0, 0]
    assert shares[0] == pytest.approx(shares[1], abs=0.002)
    assert abs(unweighted - shares[0]) > 0.01


def test_a_right_angle_has_cosine_zero_a_reversal_minus_one_and_a_standstill_none() -> None:
    trajectory = measured(np.array([[0, 0], [1, 0], [1, 1], [1, 0.0]]))
    np.testing.assert_allclose(trajectory.turning[0], [0, -1], atol=1e-12)
    still = measured(np.tile([1.0, 2.0], (5, 1)))
    assert not any(values.any() for values in (still.speed, still.explained_variance, still.loop_area))
    assert np.isnan(still.turning).all() and np.isnan(still.proximity).all()


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


def test_a_closed_circle_in_the_second_and_third_component_encloses_its_area() -> None:
    t = 2 * np.pi * np.arange(64) / 64
    trajectory = measured(np.stack([100 * np.cos(7 * t), 2 * np.cos(t), np.sin(t)], axis=1))
    assert abs(trajectory.loop_area[0]) == pytest.approx(2 * np.pi, rel=0.01)


def test_groups_are_those_that_the_model_has_and_add_up_to_all() -> None:
    trajectory = measured(*np.random.default_rng(3).normal(size=(4, 5, 6)))
    assert trajectory.group == ("all", "embedding", "attention", "mlp")
    squares = trajectory.distance[:, 1:] ** 2
    assert (squares[0] > squares[1:].sum(axis=0)).all()  # the final norm moves too
    np.testing.assert_allclose(np.diag(trajectory.proximity), 1)
    without_mlp = measured(np.eye(3), names=NAMES[1:2])
    assert without_mlp.group == ("all", "attention")
    np.testing.assert_allclose(without_mlp.proximity, 1)


def test_two_checkpoints_have_one_component_and_one_has_no_path() -> None:
    trajectory = measured(np.array([[0, 0], [3, 4.0]]))
    assert trajectory.coordinate.shape == (2, 2, 1)
    assert trajectory.turning.shape == (2, 0)
    with pytest.raises(NotApplicable, match="two checkpoints"):
        measured(np.ones((1, 2)))


def test_the_reference_run_moves_further_than_a_standstill_and_in_few_components() -> None:
    run = {step: calibration_model.weights_only(step) for step in calibration_model.STEPS}
    trajectory = parameter_trajectory(run, calibration_model.context())
    assert trajectory.group == ("all", "embedding", "attention", "mlp")
    assert trajectory.explained_variance[0, :3].sum() > 0.9
    assert (trajectory.proximity > 0.8).all()


N = 10
SHAPES = ("overview", "three_d", "components", "explained_variance", "distance", "turning")


def walk(seed: int, lengths: np.ndarray | float = 1.0, dim: int = 2000) -> np.ndarray:
    moves = np.random.default_rng(seed).normal(size=(N, dim)) * np.broadcast_to(lengths, N)[:, None]
    return 30 * np.random.default_rng(99).normal(size=dim) + moves.cumsum(axis=0)


def verdicts(views: tuple[str, ...], *paths: np.ndarray) -> set[str]:
    measured_nulls = tuple(nulls(measured(*paths), CONTEXT))
    options = {view: builtin().view(f"parameter_trajectory.{view}").options for view in views}
    return {null_of(measured_nulls, view, None, options[view]).verdict for view in views}


def test_a_path_that_leads_somewhere_is_beyond_a_random_walk_and_one_that_shrinks_is_not() -> None:
    there = np.arange(N)[:, None] * np.random.default_rng(5).normal(size=2000)
    assert verdicts(SHAPES, walk(1, 0.3) + there) == {"Beyond its null"}
    assert verdicts((*SHAPES, "speed"), walk(1)) == {"Within its null"}
    assert verdicts(SHAPES, walk(1, 0.1) * 0.8 ** np.arange(N)[:, None]) == {"Within its null"}
    assert verdicts(SHAPES, np.ones((N, 5))) == {"No null"}
    assert verdicts(("speed",), walk(1, np.where(np.arange(N) == 5, 3, 1))) == {"Beyond its null"}  # one fast stretch


def test_parts_that_walk_by_themselves_move_together_by_chance() -> None:
    bend = np.sin(np.linspace(0, 2 * np.pi, N))[:, None]
    together = [bend * np.random.default_rng(seed).normal(size=2000) for seed in (1, 2, 3)]
    assert verdicts(("proximity",), *together) == {"Beyond its null"}
    assert verdicts(("proximity",), walk(1), walk(2), walk(3)) == {"Within its null"}
    assert verdicts(("proximity",), walk(1)) == {"No null"}
