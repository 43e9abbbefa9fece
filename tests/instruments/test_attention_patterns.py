"""Attention patterns built by hand."""

from dataclasses import replace

import numpy as np
import pytest

from miscope.analyzers.attention_patterns import AttentionPatterns, attention_patterns
from miscope.core import Checkpoint, Context, ModelConfig, Probe
from miscope.maths.spectra import Basis, variance_fractions

P = 7
MODEL = ModelConfig(n_layers=1, d_model=4, n_heads=2, d_head=2, d_mlp=0, n_ctx=3, d_vocab=P + 1, d_vocab_out=P)
PROBE = Probe(np.zeros((P * P, 3), dtype=np.int64), np.zeros(P * P, dtype=np.int64), np.ones(P * P, dtype=bool))
CONTEXT = Context(probe=PROBE, answer_position=2, basis=Basis("fourier", P), grid=(P, P))


def patterns() -> np.ndarray:
    """Head 0 looks evenly at what it may see; head 1's answer swings between a and b by a wave of k = 2 in a."""
    swing = 0.4 * np.cos(2 * np.pi * 2 * np.repeat(np.arange(P), P) / P)
    even = np.broadcast_to(np.tri(3) / np.arange(1, 4)[:, None], (P * P, 3, 3))
    waving = even.copy()
    waving[:, 2] = np.stack([0.5 + swing, 0.5 - swing, np.zeros(P * P)], axis=1)
    return np.stack([even, waving], axis=1).astype(np.float32)


def measured(context: Context = CONTEXT) -> AttentionPatterns:
    return attention_patterns(Checkpoint(0, MODEL, {}, {"blocks.0.attn.hook_pattern": patterns()}), context)


def test_even_attention_has_that_mean_and_no_spread() -> None:
    found = measured()
    np.testing.assert_allclose(found.mean[0, 0], [[1, 0, 0], [1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)
    np.testing.assert_allclose(found.std[0, 0], 0, atol=1e-7)


def test_a_head_that_swings_shows_in_the_spread_and_not_in_the_mean() -> None:
    found = measured()
    np.testing.assert_allclose(found.mean[0, 1, 2], [0.5, 0.5, 0], atol=1e-6)
    np.testing.assert_allclose(found.std[0, 1, 2], [0.4 / np.sqrt(2), 0.4 / np.sqrt(2), 0], atol=1e-6)


def test_the_answer_pattern_is_the_row_of_the_answer_position() -> None:
    found, row = measured(), np.moveaxis(patterns()[:, :, 2], 0, -1)
    np.testing.assert_array_equal(found.answer_pattern[0, 0], row[0])
    span = 0.4 * (1 - np.cos(2 * np.pi * 2 * 2 / P))  # of the wave, on whole numbers: its least is at 2
    np.testing.assert_allclose(found.answer_pattern[0, 1], row[1], atol=span / 254)
    np.testing.assert_allclose(found.answer_unit[0, 1], [span / 127, span / 127, 0], rtol=1e-5)


def test_a_map_is_off_by_half_a_level_at_most_and_its_summaries_not_at_all() -> None:
    rng = np.random.default_rng(0)
    raw = rng.dirichlet(np.ones(3), (P * P, 2, 3)).astype(np.float32)
    found = attention_patterns(Checkpoint(0, MODEL, {}, {"blocks.0.attn.hook_pattern": raw}), CONTEXT)
    answer = np.moveaxis(raw[:, :, 2], 0, -1)
    error = np.abs(found.answer_pattern[0] - answer)
    assert (error.max(axis=-1) <= 0.5001 * found.answer_unit[0]).all() and error.max() > 1e-3
    np.testing.assert_array_equal(found.mean[0, :, 2], answer.mean(axis=-1, dtype=np.float64))
    assert found.map_fraction is not None
    np.testing.assert_allclose(found.map_fraction[0, 1], variance_fractions(CONTEXT.basis, answer[1].reshape(3, P, P)))


def test_the_frequency_of_the_swing_is_found_and_steady_attention_has_none() -> None:
    fraction = measured().map_fraction
    assert fraction is not None
    np.testing.assert_allclose(fraction[0, 1], [[0, 1, 0], [0, 1, 0], [0, 0, 0]], atol=1e-5)
    assert not fraction[0, 0].any()


@pytest.mark.parametrize("grid", [None, (P, P + 1)])
def test_without_a_square_grid_the_maps_are_absent(grid: tuple[int, ...] | None) -> None:
    assert measured(replace(CONTEXT, grid=grid)).map_fraction is None
