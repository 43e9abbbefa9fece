"""Groups of neurons on rings that are flat or bent by hand."""

from dataclasses import replace

import calibration_model
import numpy as np
import pytest
from judging import assert_told_apart, judged

from miscope.calibration.models import probe, shape
from miscope.core import Checkpoint, MiscopeError, NotApplicable
from miscope.instruments.neuron_groups.measure import NeuronGroups, neuron_groups
from miscope.maths.spectra import Basis

P, N = 11, 40
MODEL = shape(d_model=5, d_head=5, d_mlp=2 * N + 5, n_ctx=3, d_vocab=P + 1, d_vocab_out=P)
CONTEXT = probe(1, P)
TURN = 2 * np.pi * np.arange(N) / N
X = 2 * np.pi * np.arange(P) / P
NONE = np.zeros(N)


def checkpoint(
    step: int, third: np.ndarray, *, radius: np.ndarray | float = 1.0, seed: int | None = None
) -> Checkpoint:
    """Neurons 0 .. N - 1 ring the plane of k = 2, as many that of k = 4, five read both; `third` bends the first ring.

    The third direction is one in which no token has anything, so it decides no neuron's frequency. With a seed all
    columns of W_in are random.
    """
    tokens = np.stack([np.cos(2 * X), np.sin(2 * X), np.cos(4 * X), np.sin(4 * X), np.zeros(P)], axis=1)
    ring = radius * np.stack([np.cos(TURN), np.sin(TURN)])
    w_in = np.zeros((5, 2 * N + 5))
    w_in[:2, :N], w_in[4, :N], w_in[2:4, N : 2 * N], w_in[:4, 2 * N :] = ring, third, ring, 1
    if seed is not None:
        w_in = np.random.default_rng(seed).normal(size=w_in.shape)
    weights = {"embed.W_E": np.vstack([tokens, np.full(5, 30.0)]), "blocks.0.mlp.W_in": w_in}
    return Checkpoint(step, MODEL, {name: weight.astype(np.float32) for name, weight in weights.items()})


def measured(*path: Checkpoint, **settings: float) -> NeuronGroups:
    return neuron_groups({one.step: one for one in path}, CONTEXT, **settings)


def test_groups_are_the_frequencies_that_neurons_read_beside_all_of_them() -> None:
    output = measured(checkpoint(0, NONE))
    np.testing.assert_array_equal(output.frequency, [0, 2, 4])
    np.testing.assert_array_equal(output.size, [2 * N + 5, N, N])
    np.testing.assert_array_equal(output.member[0], [2] * N + [4] * N + [0] * 5)


def test_what_a_quadratic_explains_is_no_part_of_what_a_plane_does() -> None:
    saddle = measured(checkpoint(0, 0.5 * np.cos(2 * TURN)))
    assert saddle.r2_linear[1, 0] == pytest.approx(0, abs=1e-9)
    assert saddle.r2_gain[1, 0] == pytest.approx(1)
    np.testing.assert_allclose(saddle.share[1, 0, 2], 0.125 / 1.125, rtol=1e-6)


def test_a_third_component_without_order_is_flat() -> None:
    shapes = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        cloud = checkpoint(0, 0.3 * rng.normal(size=N), radius=rng.uniform(0.5, 2, N))
        shapes.append(measured(cloud).shape[1, 0])
    assert shapes.count(0) >= 19
    assert measured(checkpoint(0, NONE)).chance_gain[1] == pytest.approx(0.28, abs=0.01)  # tables of the beta


def test_the_groups_of_the_end_are_followed_backwards() -> None:
    output = measured(checkpoint(0, NONE, seed=1), checkpoint(50, 0.5 * np.cos(2 * TURN)))
    assert output.steps.tolist() == [0, 50]
    np.testing.assert_array_equal(output.size, [2 * N + 5, N, N])
    np.testing.assert_array_equal(output.shape[1], [0, 2])
    assert output.share[1, 0, :2].sum() < 0.75 < output.share[1, 1, :2].sum()
    assert output.spread[1, 0] == pytest.approx(np.sqrt(5), rel=0.2)


def test_rotating_the_residual_stream_changes_nothing() -> None:
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))[0]
    plain = checkpoint(0, 0.5 * np.cos(2 * TURN))
    w_e, w_in = (plain.weights[name] for name in ("embed.W_E", "blocks.0.mlp.W_in"))
    turned = {"embed.W_E": (w_e @ turn).astype(np.float32), "blocks.0.mlp.W_in": (turn.T @ w_in).astype(np.float32)}
    before, after = measured(plain), measured(replace(plain, weights=turned))
    np.testing.assert_array_equal(after.member, before.member)
    np.testing.assert_allclose(after.share, before.share, atol=1e-6)
    np.testing.assert_allclose(after.r2_gain[1:], before.r2_gain[1:], atol=1e-5)


def test_scores_are_of_members_alone_and_have_their_spread() -> None:
    output = measured(checkpoint(0, NONE, radius=3.0))
    assert np.isnan(output.score[0, 2 * N :]).all()
    np.testing.assert_allclose((output.score[0, :N, :2] ** 2).sum(axis=1), 9, rtol=1e-5)


def test_what_cannot_apply_says_why() -> None:
    plain = checkpoint(0, NONE)
    with pytest.raises(NotApplicable, match="no MLP"):
        measured(replace(plain, model=replace(MODEL, d_mlp=0)))
    with pytest.raises(NotApplicable, match="fewer rows than the basis' 23 tokens"):
        neuron_groups({0: plain}, replace(CONTEXT, basis=Basis("fourier", 23)))
    with pytest.raises(NotApplicable, match="one frequency"):
        neuron_groups({0: plain}, replace(CONTEXT, basis=Basis("fourier", 2)))
    with pytest.raises(MiscopeError, match="`min_neurons` = 3"):
        measured(plain, min_neurons=3)


def test_groups_of_the_reference_run_are_flat_until_late_and_end_as_saddles() -> None:
    path = {step: calibration_model.weights_only(step) for step in (200, 5000, 13_000, 16_900)}
    output = neuron_groups(path, calibration_model.context())
    assert {8, 19, 38, 41, 54} <= set(output.frequency.tolist())
    assert (output.shape[:, :3] == 0).all()
    assert (output.shape[np.isin(output.frequency, [8, 19, 38, 41, 54]), 3] == 2).all()
    assert output.shape[0, 3] == 0


def bent(**fields: np.ndarray) -> NeuronGroups:
    """All 85 neurons and two groups of 40, the first a saddle in the end; at step 0 they are random."""
    return replace(measured(checkpoint(0, NONE, seed=1), checkpoint(50, 0.5 * np.cos(2 * TURN))), **fields)


@pytest.mark.parametrize("view", ["overview", "relief"])
def test_a_bent_group_is_beyond_if_it_has_neurons_enough(view: str) -> None:
    groups, name = bent(r2_gain=np.tile([[0.0, 0.8]], (3, 1))), f"neuron_groups.{view}"
    assert_told_apart(name, groups, replace(groups, size=np.array([85, 7, 7])), CONTEXT)
    assert_told_apart(name, groups, bent(r2_gain=np.full((3, 2), 0.09)), CONTEXT)


def test_a_group_that_came_to_lie_in_a_plane_or_close_together_is_beyond() -> None:
    name, flat = "neuron_groups.dimensions", measured(checkpoint(0, NONE), checkpoint(50, NONE))
    assert_told_apart(name, bent(), flat, CONTEXT)
    assert judged(name, bent(steps=np.array([10, 50])), CONTEXT).verdict == "No null"
    tight, loose = (bent(spread=np.array([[1, 1], [1, least], [1, 0.9]])) for least in (0.6, 0.7))
    assert_told_apart("neuron_groups.spread", tight, loose, CONTEXT)


def test_too_few_neurons_make_no_group_and_there_are_none_in_it() -> None:
    output = measured(checkpoint(0, NONE), min_neurons=N + 1)
    np.testing.assert_array_equal(output.frequency, [0])
    assert not output.member.any()
    for view in ("overview", "dimensions", "spread"):
        assert judged(f"neuron_groups.{view}", output, CONTEXT).verdict == "Within its null"
