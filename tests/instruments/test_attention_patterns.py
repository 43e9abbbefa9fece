"""Attention patterns built by hand."""

from dataclasses import replace

import numpy as np
import pytest
from judging import CONTEXT, P, assert_told_apart, judged, path

from miscope.calibration.models import on_planted, shape
from miscope.core import Context
from miscope.instruments.attention_patterns.measure import AttentionPatterns, even_attention, instrument
from miscope.maths.spectra import variance_fractions

RNG = np.random.default_rng(0)
SWING = 0.4 * np.cos(2 * np.pi * 2 * np.arange(P) / P)


def patterns() -> np.ndarray:
    """Head 0 looks evenly at what it may see; head 1's answer swings between a and b by a wave of k = 2 in a."""
    swing = np.repeat(SWING, P)
    even = np.broadcast_to(np.tri(3) / np.arange(1, 4)[:, None], (P * P, 3, 3))
    waving = even.copy()
    waving[:, 2] = np.stack([0.5 + swing, 0.5 - swing, np.zeros(P * P)], axis=1)
    return np.stack([even, waving], axis=1).astype(np.float32)


def measured(context: Context = CONTEXT, pattern: np.ndarray | None = None) -> AttentionPatterns:
    planted = {"attn.hook_pattern": patterns() if pattern is None else pattern}
    return on_planted(instrument, shape(n_heads=2, n_ctx=3), context, **planted)


def test_a_head_that_swings_shows_in_the_spread_at_its_frequency_and_not_in_the_mean() -> None:
    output = measured()
    np.testing.assert_allclose(output.mean[0, 1, 2], [0.5, 0.5, 0], atol=1e-6)
    np.testing.assert_allclose(output.std[0, 1, 2], [0.4 / np.sqrt(2), 0.4 / np.sqrt(2), 0], atol=1e-6)
    np.testing.assert_allclose(output.map_fraction[0, 1], np.eye(P // 2)[1] * [[1], [1], [0]], atol=1e-5)
    assert not output.map_fraction[0, 0].any()


def test_a_map_of_the_answers_row_is_off_by_half_a_level_at_most_and_its_summaries_not_at_all() -> None:
    span = np.ptp(SWING)
    np.testing.assert_allclose(measured().answer_unit[0], [[0, 0, 0], [span / 127, span / 127, 0]], rtol=1e-5)
    raw = RNG.dirichlet(np.ones(3), (P * P, 2, 3)).astype(np.float32)
    raw[:, 0, 2] = 1 / 3  # a head that never varies is stored as it is
    output, answer = measured(pattern=raw), np.moveaxis(raw[:, :, 2], 0, -1)
    error = np.abs(output.answer_pattern[0] - answer)
    assert (error.max(axis=-1) <= 0.5001 * output.answer_unit[0]).all() and error[1].max() > 1e-3
    np.testing.assert_array_equal(output.mean[0, :, 2], answer.mean(axis=-1, dtype=np.float64))
    np.testing.assert_allclose(output.map_fraction[0, 1], variance_fractions(CONTEXT.basis, answer[1].reshape(3, P, P)))


@pytest.mark.parametrize("grid", [None, (P, P + 1)])
def test_without_a_square_grid_the_maps_are_absent(grid: tuple[int, ...] | None) -> None:
    assert measured(replace(CONTEXT, grid=grid)).map_fraction is None


def departing(size: float) -> AttentionPatterns:
    """Even attention, from which the answer's departs by Gaussian numbers of that size."""
    even = measured(pattern=patterns()[:, [0, 0]])
    mean = even.mean.copy()
    mean[0, :, 2] += size * RNG.normal(size=(2, 3))
    return replace(even, mean=mean)


@pytest.mark.parametrize("view", ["attention_patterns.overview", "attention_patterns.over_time"])
def test_attention_is_beyond_where_heads_have_chosen(view: str) -> None:
    assert_told_apart(view, *(path(departing(0.001), departing(size)) for size in (0.1, 0.001)))


def test_attention_that_swings_with_the_input_is_beyond_at_the_position_where_it_swings() -> None:
    still = replace(departing(0), std=np.full((1, 2, 3, 3), 0.002))
    std = still.std.copy()
    std[0, 0, 2, 1] = 0.3
    both = path(still, replace(still, std=std))
    nulls = [judged("attention_patterns.maps", both, step=step, key=key) for step in (0, 100) for key in range(3)]
    assert [null.is_beyond for null in nulls] == [False, False, False, False, True, False]
    assert {null.verdict for null in nulls} == {"Beyond its null", "Within its null"}


def test_maps_of_one_frequency_are_beyond_and_those_of_random_functions_are_not() -> None:
    energy = (RNG.normal(size=(1, 2, 3, P // 2, 2)) ** 2).sum(axis=-1)
    random = replace(measured(), map_fraction=(energy / energy.sum(axis=-1, keepdims=True)).astype(np.float32))
    view, both = "attention_patterns.frequencies", path(random, measured())
    assert judged(view, both, step=0, key=0).verdict == "Within its null"
    assert [judged(view, both, key=key).is_beyond for key in range(3)] == [True, True, False]  # the wave's two


def test_even_attention_sees_what_heads_see() -> None:
    np.testing.assert_allclose(even_attention(departing(0).mean), np.tri(3) / [[1], [2], [3]])
    np.testing.assert_allclose(even_attention(np.full((1, 1, 4, 4), 0.25)), 0.25)
