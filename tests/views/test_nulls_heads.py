"""Verdicts on attention, on what heads look for and on their circuits: planted roles are beyond, noise is within."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import synthetic
from judging import over, said
from miscope.views.shared.guessing import deviates
from synthetic import HEADS, N_FREQ

from miscope.instrument import Output
from miscope.maths.null_distributions import largest_share
from miscope.views.shared import nulls
from miscope.views.shared.heads import even_attention, random_alignment

BEYOND, WITHIN = nulls.BEYOND, nulls.WITHIN
RNG = np.random.default_rng(0)


def kind(view: str, first: Output, last: Output, **options: Any) -> str:
    """The kind of verdict on a network that was so at first and is so at last."""
    return said(view, over({0: first, 100: last}), **options).partition(":")[0]


# ---------------------------------------------------------------- attention


def attention(departure: float) -> Output:
    """Even attention of three positions, from which the answer's departs by Gaussian numbers of that size."""
    even = synthetic.attention_patterns(0)
    mean = even.mean.copy()
    mean[0, :, 2] += departure * RNG.normal(size=(HEADS, 3))
    return replace(even, mean=mean)


@pytest.mark.parametrize("view", ["attention_patterns.overview", "attention_patterns.over_time"])
def test_attention_is_beyond_where_heads_have_chosen(view):
    assert kind(view, attention(0.001), attention(0.1)) == BEYOND
    assert kind(view, attention(0.001), attention(0.001)) == WITHIN


def test_attention_that_swings_with_the_input_is_beyond_at_the_position_where_it_swings():
    still = replace(attention(0), std=np.full((1, HEADS, 3, 3), 0.002))
    std = still.std.copy()
    std[0, 0, 2, 1] = 0.3
    swinging = replace(still, std=std)
    assert kind("attention_patterns.maps", still, swinging, key=1) == BEYOND
    assert kind("attention_patterns.maps", still, swinging, key=0) == WITHIN


def test_even_attention_sees_what_heads_see():
    np.testing.assert_allclose(even_attention(attention(0).mean), [[1, 0, 0], [1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]])
    np.testing.assert_allclose(even_attention(np.full((1, 1, 4, 4), 0.25)), 0.25)


# ---------------------------------------------------------------- frequencies


def noise(*shape: int) -> np.ndarray:
    """Shares by frequency of random functions of a token."""
    energy = (RNG.normal(size=(*shape, N_FREQ, 2)) ** 2).sum(axis=-1)
    return energy / energy.sum(axis=-1, keepdims=True)


ONE_WAVE = np.broadcast_to(np.eye(N_FREQ)[2], (1, HEADS, N_FREQ))


def test_maps_of_one_frequency_are_beyond_and_those_of_random_functions_are_not():
    some = synthetic.attention_patterns(0)
    random = replace(some, map_fraction=noise(1, HEADS, 3).astype(np.float32))
    waves = replace(some, map_fraction=np.repeat(ONE_WAVE[:, :, None], 3, axis=2).astype(np.float32))
    assert kind("attention_patterns.frequencies", random, random) == WITHIN
    assert kind("attention_patterns.frequencies", random, waves) == BEYOND


@pytest.mark.parametrize(("view", "options"), [("overview", {}), ("spectrum", {"part": "score"})])
def test_scores_of_one_frequency_are_beyond_and_those_of_random_functions_are_not(view, options):
    random, waves = (replace(synthetic.attention_spectra(0), score_share=x) for x in (noise(1, HEADS), ONE_WAVE))
    assert kind(f"attention_spectra.{view}", random, random, **options) == WITHIN
    assert kind(f"attention_spectra.{view}", random, waves, **options) == BEYOND


def test_the_best_of_four_random_functions_rarely_has_more_at_one_frequency_than_the_null():
    assert 0.005 < (noise(10_000, 4).max(axis=(1, 2)) > largest_share(N_FREQ, 4)).mean() < 0.015


def test_the_mean_alignment_of_random_weights_is_rarely_more_than_the_null():
    blocks = RNG.normal(size=(10_000, 4, 2, 2))
    sizes = np.abs(np.trace(blocks, axis1=2, axis2=3)) / np.linalg.norm(blocks, ord="nuc", axis=(2, 3))
    assert 0.005 < (sizes.mean(axis=1) > random_alignment(4)).mean() < 0.02


def test_heads_that_agree_in_phase_are_beyond_and_those_a_sixth_of_a_period_off_are_not():
    some = synthetic.attention_spectra(0)
    aligned, off = (replace(some, qk_alignment=np.full_like(some.qk_alignment, x)) for x in (-0.999, 0.5))
    assert kind("attention_spectra.alignment", some, aligned) == BEYOND
    assert kind("attention_spectra.alignment", some, off) == WITHIN


# ---------------------------------------------------------------- roles and circuits


def scores(size: float, **changes: np.ndarray) -> Output:
    """Even attention, from which each score departs by Gaussian numbers of that size."""
    some, off = synthetic.head_scores(0), size * RNG.normal(size=(5, 1, HEADS))
    departing = replace(
        some, previous_token=some.neighbour_chance + off[0], first_position=some.neighbour_chance + off[1],
        prefix_matching=some.repeat_chance + off[2], duplicate_token=some.repeat_chance + off[3],
        offset_score=some.offset_chance + off[4][..., None],
    )  # fmt: skip
    return replace(departing, **changes)


@pytest.mark.parametrize(
    ("view", "role"), [("overview", "prefix_matching"), ("heads", "first_position"), ("offsets", "offset_score")]
)
def test_a_head_that_takes_a_role_is_beyond(view, role):
    taken = getattr(scores(0), role).copy()
    taken[0, 1] = 0.95
    assert kind(f"head_scores.{view}", scores(0.001), scores(0.001)) == WITHIN
    assert kind(f"head_scores.{view}", scores(0.001), scores(0.001, **{role: taken})) == BEYOND


def test_a_head_that_looks_away_from_the_previous_token_forms_no_induction_circuit():
    away = np.zeros((1, HEADS))
    assert kind("head_scores.overview", scores(0.001), scores(0, previous_token=away, prefix_matching=away)) == WITHIN


def test_copying_is_held_against_random_heads_between_the_same_embeddings():
    def copying(score: float, std: float) -> str:
        found = replace(synthetic.head_scores(0), copying=np.array([[score, -1]]), copying_std=np.array([std]))
        return kind("head_scores.copying", found, found)

    assert copying(0.9, 0.2) == BEYOND
    assert copying(0.9, 0.6) == WITHIN
    edge = 0.2 * deviates(HEADS)
    assert (copying(edge - 0.01, 0.2), copying(edge + 0.01, 0.2)) == (WITHIN, BEYOND)


@pytest.mark.parametrize("view", ["composition_scores.overview", "composition_scores.matrix"])
def test_composition_is_beyond_where_one_pair_stands_out_of_random_ones(view):
    random = synthetic.composition_scores(0)
    one = random.score.copy()
    one[1, 0, 0, 1, 1] = 0.3
    assert kind(view, random, random) == WITHIN
    assert kind(view, random, replace(random, score=one)) == BEYOND
