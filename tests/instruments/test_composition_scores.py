"""Heads whose reading and writing directions are chosen by hand, and TransformerLens' own products."""

from dataclasses import replace

import numpy as np
import pytest
from judging import assert_told_apart, judged, path

from miscope.calibration.models import shape
from miscope.core import Checkpoint, MiscopeError, ModelConfig, NotApplicable
from miscope.families.modulo_addition import ModuloAddition
from miscope.instruments.composition_scores.measure import CompositionScores, composition_scores

D_MODEL, D_HEAD = 8, 2
MODEL = shape(n_layers=2, d_model=D_MODEL, d_head=D_HEAD)
AXES = np.eye(D_MODEL)


def head(layer: int, *, q: np.ndarray, k: np.ndarray, v: np.ndarray, o: np.ndarray) -> dict[str, np.ndarray]:
    """Weights of a layer of one head; each matrix given as its two directions of the residual stream."""
    read = {f"blocks.{layer}.attn.W_{name}": rows.T[None] for name, rows in (("Q", q), ("K", k), ("V", v))}
    return {name: value.astype(np.float32) for name, value in (read | {f"blocks.{layer}.attn.W_O": o[None]}).items()}


def random_weights(model: ModelConfig, seed: int = 0) -> dict[str, np.ndarray]:
    rng, h, d, e = np.random.default_rng(seed), model.n_heads, model.d_model, model.d_head
    shapes = {"W_Q": (h, d, e), "W_K": (h, d, e), "W_V": (h, d, e), "W_O": (h, e, d)}
    named = {f"blocks.{i}.attn.{name}": size for i in range(model.n_layers) for name, size in shapes.items()}
    return {name: rng.normal(size=size).astype(np.float32) for name, size in named.items()}


def measured(weights: dict[str, np.ndarray], model: ModelConfig = MODEL, **settings: int) -> CompositionScores:
    return composition_scores(Checkpoint(0, model, weights), ModuloAddition(modulus=5).context(0), **settings)


EARLIER = head(0, q=AXES[:2], k=AXES[:2], v=AXES[:2], o=AXES[2:4])  # reads axes 0, 1 and writes them to axes 2, 3


@pytest.mark.parametrize("reader", ["q", "k", "v"])
def test_just_what_an_earlier_head_writes_scores_one_over_the_root_of_its_directions_for_what_reads_it(reader) -> None:
    elsewhere = dict.fromkeys("qkvo", AXES[4:6])
    score = measured(EARLIER | head(1, **(elsewhere | {reader: AXES[2:4]}))).score[:, 0, 0, 1, 0]
    np.testing.assert_allclose(score, [(reader == kind) / np.sqrt(2) for kind in "qkv"], atol=1e-12)


def test_the_scores_are_those_of_the_full_products() -> None:
    model = replace(MODEL, n_layers=3, n_heads=2)
    w = {name: value.astype(np.float64) for name, value in random_weights(model).items()}
    scores, size = measured(random_weights(model), model).score, np.linalg.norm
    for a, i, b, j in np.ndindex(3, 2, 3, 2):
        if a >= b:
            assert np.isnan(scores[:, a, i, b, j]).all()
            continue
        ov = w[f"blocks.{a}.attn.W_V"][i] @ w[f"blocks.{a}.attn.W_O"][i]
        qk = w[f"blocks.{b}.attn.W_Q"][j] @ w[f"blocks.{b}.attn.W_K"][j].T
        later_ov = w[f"blocks.{b}.attn.W_V"][j] @ w[f"blocks.{b}.attn.W_O"][j]
        expected = [size(ov @ m) / size(ov) / size(m) for m in (qk, qk.T, later_ov)]
        np.testing.assert_allclose(scores[:, a, i, b, j], expected, rtol=1e-6)


def test_a_rotation_of_the_residual_stream_and_the_size_of_the_weights_change_nothing() -> None:
    weights = random_weights(MODEL)
    turn = 3 * np.linalg.qr(np.random.default_rng(1).normal(size=(D_MODEL, D_MODEL)))[0].astype(np.float32)
    turned = {n: (w @ turn if n.endswith("W_O") else turn.T @ w) for n, w in weights.items()}
    np.testing.assert_allclose(measured(turned).score, measured(weights).score, rtol=1e-5)


def test_random_heads_score_at_chance_in_all_three_kinds() -> None:
    model = replace(MODEL, d_model=64, d_head=16, n_heads=8)
    output = measured(random_weights(model, seed=5), model)
    np.testing.assert_allclose(output.score[:, 0, :, 1, :].mean(axis=(1, 2)), output.chance, atol=output.chance_std / 2)
    assert output.chance == pytest.approx(1 / 8, rel=0.1)


def test_the_gain_of_a_norm_counts_as_part_of_what_reads_through_it() -> None:
    weights, gain = random_weights(MODEL), np.random.default_rng(2).random(D_MODEL).astype(np.float32)
    scaled = {n: w * gain[:, None] if "1.attn" in n and "W_O" not in n else w for n, w in weights.items()}
    np.testing.assert_allclose(measured(weights | {"blocks.1.ln1.w": gain}).score, measured(scaled).score, rtol=1e-5)


def test_what_layer_norm_takes_away_is_not_read() -> None:
    everywhere = np.stack([np.ones(D_MODEL), 0 * AXES[0]])
    later = head(1, q=AXES[:2], k=AXES[2:4], v=AXES[4:6], o=AXES[6:8])
    weights = head(0, q=AXES[:2], k=AXES[:2], v=AXES[:2], o=everywhere) | later
    assert (measured(weights).score[:, 0, 0, 1, 0] > 0.1).all()
    norm = {"blocks.1.ln1.w": np.ones(D_MODEL, dtype="f4"), "blocks.1.ln1.b": np.zeros(D_MODEL, dtype="f4")}
    np.testing.assert_allclose(measured(weights | norm).score[:, 0, 0, 1, 0], 0, atol=1e-12)


def test_a_head_that_is_zero_has_no_score() -> None:
    weights = random_weights(MODEL)
    weights["blocks.0.attn.W_O"] *= 0
    assert np.isnan(measured(weights).score).all()


def test_one_layer_and_a_baseline_of_no_heads_are_refused_with_the_reason() -> None:
    model = replace(MODEL, n_layers=1)
    with pytest.raises(NotApplicable, match="one layer"):
        measured(random_weights(model), model)
    with pytest.raises(MiscopeError, match="`n_random_heads` = 0; allowed: 1 or more"):
        measured(random_weights(MODEL), n_random_heads=0)


@pytest.mark.parametrize("view", ["composition_scores.overview", "composition_scores.matrix"])
def test_composition_is_beyond_where_one_pair_stands_out_of_random_ones(view: str) -> None:
    model = replace(MODEL, d_model=64, d_head=16, n_heads=2)
    random = measured(random_weights(model), model)
    one = random.score.copy()
    one[1, 0, 0, 1, 1] = 0.3
    stands_out = path(replace(random, score=one), random, replace(random, score=one))
    assert_told_apart(view, stands_out, path(random, random))
    if view.endswith("matrix"):
        assert [judged(view, stands_out, step=step).is_beyond for step in stands_out] == [True, False, True]
