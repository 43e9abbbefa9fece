"""Activations laid out by hand: circles of answers, clouds of known width."""

from dataclasses import replace

import numpy as np
import pytest
from judging import CONTEXT, P, assert_told_apart, judged, path

from miscope.calibration.models import shape
from miscope.core import Checkpoint, NotApplicable, Probe
from miscope.instrument import Artifact
from miscope.instruments.representation_geometry.measure import RepresentationGeometry, representation_geometry

EACH = 8  # inputs of each answer
ANSWER = np.repeat(np.arange(P), EACH)
PRE, MLP, POST = "blocks.0.hook_resid_pre", "blocks.0.mlp.hook_post", "blocks.0.hook_resid_post"


def laid_out(width: float, dim: int = 10) -> np.ndarray:
    """Answer r on a circle of frequency 3 in two dimensions, its inputs on a circle of radius `width` in two others."""
    around, inner = 2 * np.pi * 3 * ANSWER / P, 2 * np.pi * np.tile(np.arange(EACH), P) / EACH
    circles = np.stack([np.cos(around), np.sin(around), width * np.cos(inner), width * np.sin(inner)], axis=1)
    return np.pad(circles, ((0, 0), (0, dim - 4)))


def measured(named: dict[str, np.ndarray], targets: np.ndarray = ANSWER, n_layers: int = 1) -> RepresentationGeometry:
    activations = {name: values.astype(np.float32) for name, values in named.items()}
    probe = Probe(np.zeros((len(targets), 1), dtype=np.int64), targets, np.ones(len(targets), dtype=bool))
    checkpoint = Checkpoint(0, shape(n_layers=n_layers), {}, activations)
    return representation_geometry(checkpoint, replace(CONTEXT, probe=probe))


def test_a_ring_of_answers_fills_a_plane_in_their_native_order() -> None:
    geometry = measured({POST: laid_out(0.5)})
    assert geometry.has_native_order
    np.testing.assert_array_equal(geometry.label, np.arange(P))
    np.testing.assert_allclose(geometry.power, np.eye(P // 2)[[2]], atol=1e-6)
    np.testing.assert_allclose(geometry.variance_share[0], [0.5, 0.5, 0, 0, 0, 0, 0, 0], atol=1e-6)
    r, s = geometry.fisher_min_pair[0]  # neighbours on a circle of frequency 3
    assert (r - s) * 3 % P in (1, P - 1)


def test_the_layout_survives_rotation_scale_and_a_shift() -> None:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(10, 10)))[0]
    plain, moved = measured({POST: laid_out(0.5)}), measured({POST: 3 * laid_out(0.5) @ turn + 2})
    for name in ("snr", "fisher_mean", "fisher_min", "participation_ratio", "circularity", "power", "variance_share"):
        np.testing.assert_allclose(getattr(moved, name), getattr(plain, name), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(moved.spread, 3 * plain.spread, rtol=1e-5)


def test_answers_that_say_nothing_have_the_ratio_of_chance() -> None:
    drawn = [measured({POST: x}) for x in np.random.default_rng(1).normal(size=(20, P * EACH, 50))]
    assert np.mean([one.snr for one in drawn]) == pytest.approx(drawn[0].chance_snr, rel=0.02)


def test_a_site_that_is_the_same_for_all_inputs_has_no_ratios_and_others_keep_theirs() -> None:
    geometry = measured({PRE: np.full((P * EACH, 10), 0.3), POST: laid_out(0.5)})
    for name in ("snr", "fisher_mean", "fisher_min", "circularity", "ring_alignment", "ring_frequency"):
        assert np.isnan(getattr(geometry, name)).tolist() == [True, False]
    assert np.isnan(geometry.participation_ratio[0]).all() and np.isnan(geometry.fisher_min_pair[0]).all()
    assert geometry.spread[0] == geometry.least_distance[0] == 0


def test_an_answer_with_one_input_or_none_is_absent() -> None:
    targets = np.where(ANSWER == 4, 5, ANSWER)
    targets[-1] = 99
    geometry = measured({POST: laid_out(0.5)}, targets)
    assert geometry.label.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]
    assert geometry.n_inputs.tolist() == [8, 8, 8, 8, 16, 8, 8, 8, 8, 8, 8, 7]
    assert not geometry.has_native_order


def test_two_answers_have_distances_and_no_ring_and_one_is_not_enough() -> None:
    geometry = measured({POST: laid_out(0.5)}, ANSWER % 2)
    assert geometry.fisher_min_pair[0].tolist() == [0, 1]
    assert geometry.power is geometry.circularity is None
    with pytest.raises(NotApplicable, match="fewer than two have two inputs"):
        measured({POST: laid_out(0.5)}, np.zeros_like(ANSWER))


def test_sites_of_different_width_stand_side_by_side_and_a_later_layer_begins_where_the_one_before_ended() -> None:
    geometry = measured({MLP: laid_out(0.5, 6), POST: laid_out(0.25)})
    assert geometry.site == (MLP, POST)
    assert geometry.width.tolist() == [6, 10]
    np.testing.assert_allclose(geometry.centroid[:, 6:], laid_out(0.25).reshape(P, EACH, 10).mean(axis=1), atol=3e-4)
    np.testing.assert_allclose(geometry.snr, [4, 16], rtol=1e-5)
    hooks = ("hook_resid_pre", "hook_attn_out", "hook_resid_post")
    named = {f"blocks.{i}.{hook}": laid_out(0.5) for i in range(2) for hook in hooks}
    later = ("blocks.1.hook_attn_out", "blocks.1.hook_resid_post")
    assert measured(named, n_layers=2).site == (PRE, "blocks.0.hook_attn_out", POST, *later)


DIM = 40
NOISE = np.random.default_rng(0).normal(size=(P * EACH, DIM))


def ring(size: float) -> np.ndarray:
    """Answers on circles of frequencies 2 and 5, with their inputs' own places about them."""
    angles = 2 * np.pi * np.outer(ANSWER, [2, 5]) / P
    circles = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) * [1, 0.5, 1, 0.5]
    return NOISE + size * np.pad(circles, ((0, 0), (0, DIM - 4)))


def training(*values: np.ndarray, first: int = 0) -> Artifact[RepresentationGeometry]:
    return path(*(measured({POST: x}) for x in values), first=first)


@pytest.mark.parametrize("view", ["overview", "separation", "circularity", "frequencies", "ring"])
def test_a_ring_of_answers_is_beyond_chance_and_noise_is_not(view: str) -> None:
    name, flat = f"representation_geometry.{view}", ring(20) * np.where(np.arange(DIM) < 4, 1, 0.01)
    assert_told_apart(name, training(NOISE, flat), training(NOISE, 2 * NOISE[:, ::-1]))
    assert judged(name, training(flat, first=500)).is_beyond
    if view in ("overview", "separation"):  # the untrained network parts the answers as well
        assert judged(name, training(ring(4), ring(4.4))).verdict == "Within its null"
    else:
        two = path(measured({POST: laid_out(0.5)}, ANSWER % 2))
        assert judged(name, two).reason.startswith("fewer than 5 right answers always lie on a circle")


def test_a_fall_of_the_dimensions_is_beyond_the_untrained_network() -> None:
    view, flat = "representation_geometry.dimensions", NOISE * np.where(np.arange(DIM) < 2, 1, 0.1)
    assert_told_apart(view, training(NOISE, flat), training(flat, NOISE))
    assert judged(view, training(flat, first=500)).verdict == "No null"
