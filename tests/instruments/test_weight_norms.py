"""Matrices that move by a known amount."""

import numpy as np

from miscope.core import Checkpoint, Context, ModelConfig, Probe
from miscope.maths.spectra import Basis
from miscope.trackers.weight_norms import WeightNorms, weight_norms

MODEL = ModelConfig(n_layers=1, d_model=4, n_heads=1, d_head=4, d_mlp=4, n_ctx=1, d_vocab=4, d_vocab_out=4)
PROBE = Probe(np.zeros((1, 1), dtype=np.int64), np.zeros(1, dtype=np.int64), np.ones(1, dtype=bool))
CONTEXT = Context(probe=PROBE, answer_position=0, basis=Basis("fourier", 4))


def measured(*weights: dict[str, np.ndarray]) -> WeightNorms:
    """Of checkpoints at steps 0, 10, 20, ..."""
    path = {10 * i: {name: w.astype(np.float32) for name, w in one.items()} for i, one in enumerate(weights)}
    return weight_norms({step: Checkpoint(step, MODEL, one) for step, one in path.items()}, CONTEXT)


def test_one_weight_that_moves_is_the_whole_distance() -> None:
    still, moved = np.zeros((2, 2)), np.array([[0, 0], [0, -5.0]])
    found = measured({"embed.W_E": still, "unembed.W_U": still}, {"embed.W_E": moved, "unembed.W_U": still})
    assert found.matrix == ("all", "embed.W_E", "unembed.W_U")
    assert found.steps.tolist() == [0, 10]
    for field in (found.norm, found.distance, found.largest_change):
        np.testing.assert_array_equal(field, [[0, 5], [0, 5], [0, 0]])


def test_many_weights_that_move_a_little_go_far_in_l2_and_not_in_l_infinity() -> None:
    found = measured({"embed.W_E": np.ones((10, 10))}, {"embed.W_E": np.full((10, 10), 1.5)})
    np.testing.assert_allclose(found.norm[1], [10, 15])
    np.testing.assert_allclose(found.distance[1], [0, 5])
    np.testing.assert_allclose(found.largest_change[1], [0, 0.5])


def test_the_squares_of_the_parts_sum_to_the_square_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    shapes = {"embed.W_E": (4, 4), "blocks.0.attn.W_Q": (1, 4, 4), "blocks.0.mlp.b_in": (4,)}
    found = measured(*({name: rng.normal(size=shape) for name, shape in shapes.items()} for _ in range(3)))
    np.testing.assert_allclose(found.norm[0] ** 2, (found.norm[1:] ** 2).sum(axis=0))
    np.testing.assert_allclose(found.distance[0] ** 2, (found.distance[1:] ** 2).sum(axis=0))
    np.testing.assert_array_equal(found.largest_change[0], found.largest_change[1:].max(axis=0))


def test_a_matrix_that_turns_goes_far_and_does_not_grow() -> None:
    turned = np.array([[0, -1.0], [1, 0]])
    found = measured({"embed.W_E": np.eye(2)}, {"embed.W_E": turned}, {"embed.W_E": -np.eye(2)})
    np.testing.assert_allclose(found.norm[1], np.sqrt(2))
    np.testing.assert_allclose(found.distance[1], [0, 2, np.sqrt(8)])


def test_a_walk_has_the_root_of_its_squared_steps_for_its_distance_and_a_straight_path_goes_further() -> None:
    ahead, across = np.array([[3.0, 0]]), np.array([[0, 4.0]])
    found = measured(*({"embed.W_E": w, "unembed.W_U": w} for w in (0 * ahead, ahead, ahead + across)))
    np.testing.assert_allclose(found.walk[1], [0, 3, 5])
    np.testing.assert_allclose(found.distance[1], [0, 3, 5])  # at right angles: as at random
    np.testing.assert_allclose(found.walk[0], np.array([0, 3, 5]) * 2**0.5)
    straight = measured(*({"embed.W_E": i * ahead} for i in range(5)))
    np.testing.assert_allclose(straight.walk[1], 3 * np.sqrt(np.arange(5)))
    np.testing.assert_allclose(straight.distance[1], 3.0 * np.arange(5))
    assert found.n_weights.tolist() == [4, 2, 2]


def test_matrices_come_in_the_order_of_the_forward_pass() -> None:
    names = ("unembed.W_U", "blocks.1.mlp.W_in", "pos_embed.W_pos", "blocks.0.attn.W_Q", "embed.W_E")
    found = measured({name: np.ones((2, 2)) for name in names})
    order = ("all", "embed.W_E", "pos_embed.W_pos", "blocks.0.attn.W_Q", "blocks.1.mlp.W_in", "unembed.W_U")
    assert found.matrix == order
