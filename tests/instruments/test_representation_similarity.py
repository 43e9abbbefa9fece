"""Representations that rest, turn and are replaced at known checkpoints."""

import numpy as np
import pytest
from judging import CONTEXT, assert_told_apart, judged, over

from miscope.core import NotApplicable
from miscope.instruments.representation_similarity.measure import RepresentationSimilarity, representation_similarity
from miscope.instruments.representations.measure import BITS, Representations
from miscope.maths.codes import quantize

N, DIM = 80, 30
SITES = ("blocks.0.hook_resid_pre", "blocks.0.hook_resid_post")


def seen(x: np.ndarray) -> Representations:
    """A site that never varies comes first."""
    codes = quantize(np.concatenate([np.ones((len(x), 2)), x], axis=1).astype(np.float32), BITS)
    return Representations(SITES, np.array([2, x.shape[1]]), np.arange(len(x)), *codes)


def tracked(*values: np.ndarray) -> RepresentationSimilarity:
    """Of checkpoints at steps 0, 10, ..."""
    return representation_similarity(over({10 * i: seen(x) for i, x in enumerate(values)}), CONTEXT)


def test_a_representation_that_turns_rests_and_one_that_is_replaced_leaves_a_block() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, N, DIM))
    turn = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0]
    like = tracked(before, 2 * before @ turn, after, after @ turn)
    expected = np.kron(np.eye(2), np.ones((2, 2)))
    np.testing.assert_allclose(like.debiased_cka[1], expected, atol=0.05)
    np.testing.assert_allclose(like.cka[1][expected == 0], like.gaussian_cka[1], atol=0.04)
    np.testing.assert_allclose(like.chance_cka[1][expected == 0], like.gaussian_cka[1], atol=0.02)
    assert like.turn[1][[0, 2]].max() < 2
    assert like.turn[1, 1] == pytest.approx(90, abs=3)


def test_a_site_that_is_the_same_for_all_inputs_has_no_similarity() -> None:
    like = tracked(*np.random.default_rng(1).normal(size=(3, N, DIM)))
    for values in (like.cka, like.debiased_cka, like.turn, like.dimension, like.chance_cka):
        assert np.isnan(values[0]).all()
        assert np.isfinite(values[1]).all()


@pytest.mark.parametrize("view", ["overview", "change", "to_final"])
def test_a_representation_that_is_replaced_at_once_is_beyond_an_even_pace(view: str) -> None:
    rng = np.random.default_rng(2)
    start, other, drift = rng.normal(size=(3, N, DIM)) * np.array([1, 3, 0.05])[:, None, None]
    early = tracked(*(start + i * drift + (i > 1) * other for i in range(10)))
    walked = tracked(*(start + rng.normal(size=(10, N, DIM)).cumsum(axis=0) / 10))
    assert_told_apart(f"representation_similarity.{view}", early, walked)


def test_what_is_at_the_start_as_it_is_at_the_end_is_not_judged_and_three_inputs_are_too_few() -> None:
    values = np.random.default_rng(3).normal(size=(N, DIM))
    null = judged("representation_similarity.to_final", tracked(values, values, values, values))
    with pytest.raises(NotApplicable, match="The probe has 3 inputs"):
        tracked(values[:3], values[3:6])
    assert null.reason == "resid_post is at the first checkpoint as it is at the last, or unmeasured"
