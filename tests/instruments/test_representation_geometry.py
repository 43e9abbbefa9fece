"""Activations laid out by hand: circles of answers, clouds of known width."""

from dataclasses import replace

import numpy as np
import pytest

from miscope.analyzers.representation_geometry import RepresentationGeometry, representation_geometry
from miscope.core import Checkpoint, Context, ModelConfig, NotApplicable, Probe
from miscope.maths.spectra import Basis

P, EACH = 13, 8  # answers, inputs of each
MODEL = ModelConfig(n_layers=1, d_model=10, n_heads=1, d_head=10, d_mlp=6, n_ctx=1, d_vocab=P, d_vocab_out=P)
ANSWER = np.repeat(np.arange(P), EACH)


def context(targets: np.ndarray = ANSWER) -> Context:
    probe = Probe(np.zeros((len(targets), 1), dtype=np.int64), targets, np.ones(len(targets), dtype=bool))
    return Context(probe=probe, answer_position=0, basis=Basis("fourier", P))


def laid_out(width: float, dim: int = 10) -> np.ndarray:
    """Answer r on a circle of frequency 3 in two dimensions, its inputs on a circle of radius `width` in two others."""
    around, inner = 2 * np.pi * 3 * ANSWER / P, 2 * np.pi * np.tile(np.arange(EACH), P) / EACH
    values = np.zeros((P * EACH, dim))
    values[:, :4] = np.stack([np.cos(around), np.sin(around), width * np.cos(inner), width * np.sin(inner)], axis=1)
    return values.astype(np.float32)


def measured(targets: np.ndarray = ANSWER, **activations: np.ndarray) -> RepresentationGeometry:
    named = {f"blocks.0.{name.replace('mlp_post', 'mlp.hook_post')}": x for name, x in activations.items()}
    return representation_geometry(Checkpoint(0, MODEL, {}, named), context(targets))


def test_clouds_of_known_width_on_a_known_circle() -> None:
    found = measured(hook_resid_post=laid_out(0.5))
    np.testing.assert_array_equal(found.label, np.arange(P))
    np.testing.assert_allclose(found.radius, 0.5, rtol=1e-6)
    np.testing.assert_allclose(found.participation_ratio, 2, rtol=1e-6)
    np.testing.assert_allclose(found.spread, 1, rtol=1e-6)
    np.testing.assert_allclose(found.snr, 4, rtol=1e-6)
    np.testing.assert_allclose(found.variance_share[0], [0.5, 0.5, 0, 0, 0, 0, 0, 0], atol=1e-6)
    # neighbours on the circle are 2 pi / P apart; the squared distances of all pairs are 2 P / (P - 1) in the mean
    np.testing.assert_allclose(found.least_distance, 2 * np.sin(np.pi / P), rtol=1e-6)
    np.testing.assert_allclose(found.fisher_min, (2 * np.sin(np.pi / P)) ** 2 / 0.5, rtol=1e-5)
    np.testing.assert_allclose(found.fisher_mean, 2 * P / (P - 1) / 0.5, rtol=1e-6)
    r, s = found.fisher_min_pair[0]
    assert (r - s) * 3 % P in (1, P - 1)


def test_a_ring_of_answers_is_found_with_its_frequency() -> None:
    found = measured(hook_resid_post=laid_out(0.5))
    assert found.has_native_order
    np.testing.assert_allclose(found.power, np.eye(P // 2)[[2]], atol=1e-6)
    ring = [found.circularity, found.ring_alignment, found.ring_frequency]
    np.testing.assert_allclose(ring, [[1], [1], [3]], rtol=1e-5)


def test_the_layout_survives_rotation_scale_and_a_shift() -> None:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(10, 10)))[0]
    plain = measured(hook_resid_post=laid_out(0.5))
    moved = measured(hook_resid_post=(3 * laid_out(0.5) @ turn + 2).astype(np.float32))
    for name in ("snr", "fisher_mean", "fisher_min", "participation_ratio", "circularity", "power", "variance_share"):
        np.testing.assert_allclose(getattr(moved, name), getattr(plain, name), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(moved.spread, 3 * plain.spread, rtol=1e-5)


def test_answers_that_say_nothing_have_the_ratio_of_chance() -> None:
    rng = np.random.default_rng(1)
    found = [measured(hook_resid_post=rng.normal(size=(P * EACH, 50)).astype("f4")) for _ in range(20)]
    assert np.mean([one.snr for one in found]) == pytest.approx(found[0].chance_snr, rel=0.02)


def test_a_site_that_is_the_same_for_all_inputs_has_no_ratios_and_others_keep_theirs() -> None:
    same = np.ones((P * EACH, 10), dtype=np.float32) * np.float32(0.3)
    found = measured(hook_resid_pre=same, hook_resid_post=laid_out(0.5))
    for name in ("snr", "fisher_mean", "fisher_min", "circularity", "ring_alignment", "ring_frequency"):
        values = getattr(found, name)
        assert np.isnan(values[0])
        assert np.isfinite(values[1])
    assert np.isnan(found.participation_ratio[0]).all()
    assert np.isnan(found.fisher_min_pair[0]).all()
    assert found.spread[0] == found.least_distance[0] == 0


def test_an_answer_with_one_input_or_none_is_absent() -> None:
    targets = ANSWER.copy()
    targets[targets == 4] = 5
    targets[-1] = 99
    found = measured(targets, hook_resid_post=laid_out(0.5))
    assert found.label.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]
    assert found.n_inputs.tolist() == [8, 8, 8, 8, 16, 8, 8, 8, 8, 8, 8, 7]
    assert not found.has_native_order


def test_two_answers_have_distances_and_no_ring() -> None:
    found = measured(ANSWER % 2, hook_resid_post=laid_out(0.5))
    assert found.fisher_min_pair[0].tolist() == [0, 1]
    assert found.power is found.circularity is None


def test_one_answer_is_not_enough() -> None:
    with pytest.raises(NotApplicable, match="fewer than two have two inputs"):
        measured(np.zeros_like(ANSWER), hook_resid_post=laid_out(0.5))


def test_sites_of_different_width_stand_side_by_side() -> None:
    found = measured(mlp_post=laid_out(0.5, 6), hook_resid_post=laid_out(0.25))
    assert found.site == ("blocks.0.mlp.hook_post", "blocks.0.hook_resid_post")
    assert found.width.tolist() == [6, 10]
    np.testing.assert_allclose(found.centroid[:, 6:], laid_out(0.25).reshape(P, EACH, 10).mean(axis=1), atol=3e-4)
    np.testing.assert_allclose(found.snr, [4, 16], rtol=1e-5)


def test_a_later_layer_begins_where_the_one_before_ended() -> None:
    two = replace(MODEL, n_layers=2, d_mlp=0)
    hooks = ("hook_resid_pre", "hook_attn_out", "hook_resid_post")
    named = {f"blocks.{i}.{hook}": laid_out(0.5) for i in range(2) for hook in hooks}
    found = representation_geometry(Checkpoint(0, two, {}, named), context())
    assert [name[7:] for name in found.site] == [
        "0.hook_resid_pre", "0.hook_attn_out", "0.hook_resid_post", "1.hook_attn_out", "1.hook_resid_post",
    ]  # fmt: skip
