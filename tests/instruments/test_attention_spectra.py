"""Heads whose queries, keys and values are waves of known frequency and phase."""

from dataclasses import replace

import calibration_model
import numpy as np
import pytest

from miscope.analyzers.attention_spectra import AttentionSpectra, attention_spectra
from miscope.core import Checkpoint, Context, ModelConfig, NotApplicable, Probe
from miscope.maths.spectra import Basis

P, D_HEAD = 13, 4
MODEL = ModelConfig(n_layers=1, d_model=P + 1, n_heads=1, d_head=D_HEAD, d_mlp=0, n_ctx=3, d_vocab=P + 1, d_vocab_out=P)
PROBE = Probe(np.full((2, 3), P), np.zeros(2, dtype=np.int64), np.ones(2, dtype=bool))
CONTEXT = Context(probe=PROBE, answer_position=2, basis=Basis("fourier", P))
X = 2 * np.pi * np.arange(P) / P


def rows(*waves: np.ndarray) -> np.ndarray:
    """[P, d_head]: the waves, then nothing."""
    return np.stack([*waves, *[np.zeros(P)] * (D_HEAD - len(waves))], axis=1)


def circle(k: int, phase: float = 0.0) -> np.ndarray:
    return rows(np.cos(k * X + phase), np.sin(k * X + phase))


def measured(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray | None = None,
    last: np.ndarray | None = None,
    **changes: object,
) -> AttentionSpectra:
    """One-hot tokens, so that a weight matrix is what each token makes; `last` is the query of the token `=`."""
    ends = (np.zeros(D_HEAD) if last is None else last, np.full(D_HEAD, 50.0), np.full(D_HEAD, 50.0))
    parts = (query, key, query if value is None else value)
    made = {
        f"blocks.0.attn.{name}": np.vstack([part, end])[None].astype(np.float32)
        for name, part, end in zip(("W_Q", "W_K", "W_V"), parts, ends, strict=True)
    }
    checkpoint = Checkpoint(0, MODEL, {"embed.W_E": np.eye(P + 1, dtype=np.float32), **made})
    return attention_spectra(checkpoint, replace(CONTEXT, **changes))


@pytest.mark.parametrize("phase", [0.0, 0.7, np.pi / 2, 2.0, np.pi])
def test_a_score_of_the_difference_of_tokens_is_at_its_frequency_and_aligned_by_its_phase(phase: float) -> None:
    found = measured(circle(3, phase), circle(3))
    np.testing.assert_allclose(found.qk_share[0, 0], np.eye(6)[2], atol=1e-6)
    assert found.qk_alignment[0, 0, 2] == pytest.approx(np.cos(phase), abs=1e-6)
    assert found.qk_energy[0, 0] == pytest.approx(0.5 / D_HEAD)  # cos(w (x - y)) / sqrt(4)


def test_a_query_and_a_key_of_one_wave_each_are_aligned_by_the_difference_of_their_phases() -> None:
    found = measured(rows(np.cos(2 * X + 0.4)), rows(np.cos(2 * X - 0.8)))
    assert found.qk_alignment[0, 0, 1] == pytest.approx(np.cos(1.2), abs=1e-6)


def test_a_query_and_a_key_of_two_frequencies_share_none() -> None:
    found = measured(circle(2), circle(5))
    np.testing.assert_allclose(found.qk_share, 0, atol=1e-6)
    np.testing.assert_allclose(found.query_share[0, 0], np.eye(6)[1], atol=1e-6)
    np.testing.assert_allclose(found.key_share[0, 0], np.eye(6)[4], atol=1e-6)


def test_what_is_moved_shares_by_squares_and_its_constant_does_not_count() -> None:
    found = measured(circle(1), circle(1), rows(2 * np.cos(4 * X) + 9, np.sin(6 * X)))
    np.testing.assert_allclose(found.value_share[0, 0], [0, 0, 0, 0.8, 0, 0.2], atol=1e-6)


def test_the_last_token_asks_by_a_wave_that_queries_between_tokens_do_not_show() -> None:
    key = rows(np.cos(2 * X), 3 * np.cos(5 * X))
    found = measured(circle(1), key, last=np.array([0, 2.0, 0, 0]))
    assert found.score_share is not None and found.score_energy is not None
    np.testing.assert_allclose(found.score_share[0, 0], np.eye(6)[4], atol=1e-6)
    np.testing.assert_allclose(found.score_energy, (2 * 3 / 2) ** 2 / 2, rtol=1e-6)


def test_where_inputs_end_on_different_tokens_no_one_token_asks() -> None:
    tokens = np.array([[0, 1, 2], [0, 1, 3]])
    found = measured(circle(1), circle(1), probe=replace(PROBE, tokens=tokens))
    assert found.score_share is found.score_energy is None


def test_shares_sum_to_one_and_those_of_pairs_to_less() -> None:
    rng = np.random.default_rng(0)
    found = measured(*rng.normal(size=(3, P, D_HEAD)), last=rng.normal(size=D_HEAD))
    for share in (found.query_share, found.key_share, found.value_share, found.score_share):
        np.testing.assert_allclose(share.sum(axis=-1), 1)
    assert 0 < found.qk_share.sum() < 0.7
    assert (np.abs(found.qk_alignment) <= 1 + 1e-9).all()


def test_rotating_the_head_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    query, key, value = rng.normal(size=(3, P, D_HEAD))
    turn = np.linalg.qr(rng.normal(size=(D_HEAD, D_HEAD)))[0]
    before, after = measured(query, key, value), measured(query @ turn, key @ turn, value @ turn)
    for name in ("qk_share", "qk_alignment", "query_share", "key_share", "value_share"):
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), rtol=1e-4, atol=1e-6)


def test_an_even_group_is_aligned_at_its_last_frequency_too() -> None:
    x = np.arange(8)
    weight = np.zeros((8, D_HEAD), dtype=np.float32)
    weight[:, 0] = (-1.0) ** x
    heads = {f"blocks.0.attn.{name}": sign * weight[None] for name, sign in (("W_Q", 1), ("W_K", -1), ("W_V", 1))}
    checkpoint = Checkpoint(0, MODEL, {"embed.W_E": np.eye(8, dtype=np.float32), **heads})
    context = replace(CONTEXT, basis=Basis("fourier", 8), probe=replace(PROBE, tokens=np.full((2, 3), 7)))
    found = attention_spectra(checkpoint, context)
    np.testing.assert_allclose(found.qk_share[0, 0], [0, 0, 0, 1], atol=1e-6)
    assert found.qk_alignment[0, 0, 3] == pytest.approx(-1)


def test_a_head_of_zeros_has_no_shares_and_no_alignment() -> None:
    found = measured(np.zeros((P, D_HEAD)), circle(2))
    assert not found.qk_share.any()
    assert not found.query_share.any()
    assert np.isnan(found.qk_alignment).all()


def test_what_cannot_apply_says_why() -> None:
    embedding = {"embed.W_E": np.eye(P + 1)}
    with pytest.raises(NotApplicable, match="no attention"):
        attention_spectra(Checkpoint(0, MODEL, embedding), CONTEXT)
    with pytest.raises(NotApplicable, match="fewer rows than the basis' 29 tokens"):
        measured(circle(1), circle(1), basis=Basis("fourier", 29))
    with pytest.raises(NotApplicable, match="one frequency"):
        measured(circle(1), circle(1), basis=Basis("fourier", 2))


def test_heads_of_the_reference_run_end_at_single_frequencies() -> None:
    found = attention_spectra(calibration_model.weights_only(16_900), calibration_model.context())
    assert found.score_share is not None
    assert (found.score_share[0].argmax(axis=1) + 1).tolist() == [41, 41, 41, 41]
    assert found.score_share[0, 0, 40] == pytest.approx(0.92, abs=0.01)
    assert found.qk_share.max() < 0.1  # no summand asks
    first = attention_spectra(calibration_model.weights_only(200), calibration_model.context())
    assert first.score_share is not None and first.score_share.max() < 0.1
