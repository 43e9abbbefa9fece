"""Matrices that move by a known amount."""

import numpy as np
import pytest
from judging import CONTEXT, P, judged

from miscope.calibration.models import shape
from miscope.catalog import builtin
from miscope.core import Checkpoint
from miscope.instruments.weight_norms.measure import WeightNorms, weight_norms


def measured(*weights: dict[str, np.ndarray]) -> WeightNorms:
    """Of checkpoints at steps 0, 10, 20, ..."""
    path = {10 * i: {name: w.astype(np.float32) for name, w in one.items()} for i, one in enumerate(weights)}
    return weight_norms({step: Checkpoint(step, shape(), one) for step, one in path.items()}, CONTEXT)


def test_many_weights_that_move_a_little_go_far_in_l2_and_not_in_l_infinity_in_the_order_of_the_forward_pass() -> None:
    still, moved, ones = np.zeros((2, 2)), np.array([[0, 0], [0, -5.0]]), np.ones((10, 10))
    norms = measured(*({"embed.W_E": one, "unembed.W_U": many} for one, many in ((still, ones), (moved, 1.5 * ones))))
    assert norms.matrix == ("all", "embed.W_E", "unembed.W_U")
    assert norms.steps.tolist() == [0, 10]
    np.testing.assert_allclose(norms.norm[1:], [[0, 5], [10, 15]])
    np.testing.assert_allclose(norms.distance[1:], [[0, 5], [0, 5]])
    np.testing.assert_allclose(norms.largest_change, [[0, 5], [0, 5], [0, 0.5]])
    names = ("unembed.W_U", "blocks.1.mlp.W_in", "pos_embed.W_pos", "blocks.0.attn.W_Q", "embed.W_E")
    order = ("all", "embed.W_E", "pos_embed.W_pos", "blocks.0.attn.W_Q", "blocks.1.mlp.W_in", "unembed.W_U")
    assert measured(dict.fromkeys(names, still)).matrix == order


def test_the_squares_of_the_parts_sum_to_the_square_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    shapes = {"embed.W_E": (4, 4), "blocks.0.attn.W_Q": (1, 4, 4), "blocks.0.mlp.b_in": (4,)}
    norms = measured(*({name: rng.normal(size=shape) for name, shape in shapes.items()} for _ in range(3)))
    np.testing.assert_allclose(norms.norm[0] ** 2, (norms.norm[1:] ** 2).sum(axis=0))
    np.testing.assert_allclose(norms.distance[0] ** 2, (norms.distance[1:] ** 2).sum(axis=0))
    np.testing.assert_array_equal(norms.largest_change[0], norms.largest_change[1:].max(axis=0))


def test_a_walk_has_the_root_of_its_squared_steps_for_its_distance_and_a_straight_path_goes_further() -> None:
    ahead, across = np.array([[3.0, 0]]), np.array([[0, 4.0]])
    norms = measured(*({"embed.W_E": w, "unembed.W_U": w} for w in (0 * ahead, ahead, ahead + across)))
    np.testing.assert_allclose(norms.walk[1], [0, 3, 5])
    np.testing.assert_allclose(norms.distance[1], [0, 3, 5])  # at right angles: as at random
    np.testing.assert_allclose(norms.walk[0], np.array([0, 3, 5]) * 2**0.5)
    straight = measured(*({"embed.W_E": i * ahead} for i in range(5)))
    np.testing.assert_allclose(straight.walk[1], 3 * np.sqrt(np.arange(5)))
    np.testing.assert_allclose(straight.distance[1], 3.0 * np.arange(5))
    assert norms.n_weights.tolist() == [4, 2, 2]


VIEWS = builtin().views("weight_norms")


def path(weights: np.ndarray) -> WeightNorms:
    return measured(*({"embed.W_E": w} for w in weights))


def walked(seed: int, n: int = 20) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(size=(n, 13, 32)), axis=0)


@pytest.mark.parametrize("view", VIEWS)
def test_weights_that_go_one_way_are_beyond_a_random_walk_and_those_that_walk_or_are_drawn_anew_are_not(view) -> None:
    way, start = np.random.default_rng(1).normal(size=(2, 13, 32))
    assert judged(view, path(start + 0.3 * np.arange(20)[:, None, None] * way)).is_beyond
    redrawn = np.random.default_rng(2).normal(size=(20, 13, 32))
    verdicts = {judged(view, path(weights)).verdict for weights in (redrawn, *map(walked, range(30)))}
    assert verdicts == {"Within its null"}


def test_a_random_walk_in_as_many_directions_as_there_are_answers_stays_within_as_often_as_is_said() -> None:
    rng, frame = np.random.default_rng(3), np.linalg.qr(np.random.default_rng(4).normal(size=(13 * 32, P)))[0]
    walks = (np.cumsum(rng.normal(size=(12, P)) @ frame.T, axis=0).reshape(12, 13, 32) for _ in range(300))
    assert sum(judged("weight_norms.overview", path(walk)).is_beyond for walk in walks) <= 9  # 3 are expected


@pytest.mark.parametrize("view", VIEWS)
def test_two_checkpoints_are_no_path(view: str) -> None:
    assert judged(view, path(walked(0, 2))).reason == "a path takes three checkpoints that differ, or more"
