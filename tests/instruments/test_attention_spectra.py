"""Heads whose queries, keys and values are waves of known frequency and phase."""

from dataclasses import replace

import calibration_model
import numpy as np
import pytest
from judging import CONTEXT, P, assert_told_apart, judged, path

from miscope.calibration.models import shape
from miscope.core import Checkpoint, NotApplicable
from miscope.instruments._shared.heads import of_one_frequency
from miscope.instruments.attention_spectra.measure import AttentionSpectra, attention_spectra, random_alignment
from miscope.maths.spectra import Basis

D_HEAD, N_FREQ, MODEL = 4, P // 2, shape(d_model=P + 1)
X = 2 * np.pi * np.arange(P) / P


def rows(*waves: np.ndarray) -> np.ndarray:
    """[P, d_head]: the waves, then nothing."""
    return np.stack([*waves, *[np.zeros(P)] * (D_HEAD - len(waves))], axis=1)


def circle(k: int, phase: float = 0.0) -> np.ndarray:
    return rows(np.cos(k * X + phase), np.sin(k * X + phase))


def measured(
    query: np.ndarray, key: np.ndarray, value: np.ndarray | None = None, last: object = (0,) * D_HEAD, **changes: object
) -> AttentionSpectra:
    """One-hot tokens, so that a weight matrix is what each token makes; `last` is the query of the token `=`."""
    ends = (last, np.full(D_HEAD, 50.0), np.full(D_HEAD, 50.0))
    parts = (query, key, query if value is None else value)
    made = {
        f"blocks.0.attn.{name}": np.vstack([part, end])[None].astype(np.float32)
        for name, part, end in zip(("W_Q", "W_K", "W_V"), parts, ends, strict=True)
    }
    checkpoint = Checkpoint(0, MODEL, {"embed.W_E": np.eye(P + 1, dtype=np.float32), **made})
    return attention_spectra(checkpoint, replace(CONTEXT, **changes))


@pytest.mark.parametrize("phase", [0.0, np.pi / 2, 2.0, np.pi])
def test_two_circles_or_waves_of_one_frequency_are_there_and_aligned_by_their_phase(phase: float) -> None:
    waves = [rows(np.cos(3 * X + x)) for x in (phase - 0.8, -0.8)]
    for query, key in ((circle(3, phase), circle(3)), waves):
        output = measured(query, key)
        np.testing.assert_allclose(output.qk_share[0, 0], np.eye(6)[2], atol=1e-6)
        assert output.qk_alignment[0, 0, 2] == pytest.approx(np.cos(phase), abs=1e-6)


def test_a_query_and_a_key_of_two_frequencies_share_none() -> None:
    output = measured(circle(2), circle(5))
    np.testing.assert_allclose(output.qk_share, 0, atol=1e-6)
    np.testing.assert_allclose([output.query_share[0, 0], output.key_share[0, 0]], np.eye(6)[[1, 4]], atol=1e-6)


def test_the_last_token_asks_by_a_wave_that_queries_between_tokens_do_not_show() -> None:
    key = rows(np.cos(2 * X), 3 * np.cos(5 * X))
    output = measured(circle(1), key, last=np.array([0, 2.0, 0, 0]))
    np.testing.assert_allclose(output.score_share[0, 0], np.eye(6)[4], atol=1e-6)
    np.testing.assert_allclose(output.score_energy, (2 * 3 / 2) ** 2 / 2, rtol=1e-6)


def test_shares_sum_to_one_and_those_of_pairs_to_less() -> None:
    rng = np.random.default_rng(0)
    output = measured(*rng.normal(size=(3, P, D_HEAD)), last=rng.normal(size=D_HEAD))
    for share in (output.query_share, output.key_share, output.value_share, output.score_share):
        np.testing.assert_allclose(share.sum(axis=-1), 1)
    assert 0 < output.qk_share.sum() < 0.7
    assert (np.abs(output.qk_alignment) <= 1 + 1e-9).all()


def test_rotating_the_head_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    query, key, value = rng.normal(size=(3, P, D_HEAD))
    turn = np.linalg.qr(rng.normal(size=(D_HEAD, D_HEAD)))[0]
    before, after = measured(query, key, value), measured(query @ turn, key @ turn, value @ turn)
    for name in ("qk_share", "qk_alignment", "query_share", "key_share", "value_share"):
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), rtol=1e-4, atol=1e-6)


def test_an_even_group_is_aligned_at_its_last_frequency_too() -> None:
    weight = np.zeros((8, D_HEAD), dtype=np.float32)
    weight[:, 0] = (-1.0) ** np.arange(8)
    heads = {f"blocks.0.attn.{name}": sign * weight[None] for name, sign in (("W_Q", 1), ("W_K", -1), ("W_V", 1))}
    checkpoint = Checkpoint(0, MODEL, {"embed.W_E": np.eye(8, dtype=np.float32), **heads})
    tokens = np.full_like(CONTEXT.probe.tokens, 7)
    context = replace(CONTEXT, basis=Basis("fourier", 8), probe=replace(CONTEXT.probe, tokens=tokens))
    output = attention_spectra(checkpoint, context)
    np.testing.assert_allclose(output.qk_share[0, 0], [0, 0, 0, 1], atol=1e-6)
    assert output.qk_alignment[0, 0, 3] == pytest.approx(-1)
    assert not judged("attention_spectra.alignment", path(output), context).is_measured  # two tokens have no phase


def test_a_head_of_zeros_has_no_shares_and_no_alignment() -> None:
    output = measured(np.zeros((P, D_HEAD)), circle(2))
    assert not output.qk_share.any() and not output.query_share.any()
    assert np.isnan(output.qk_alignment).all()


def test_what_cannot_apply_says_why() -> None:
    with pytest.raises(NotApplicable, match="no attention"):
        attention_spectra(Checkpoint(0, MODEL, {"embed.W_E": np.eye(P + 1)}), CONTEXT)
    for size, why in ((29, "fewer rows than the basis' 29 tokens"), (2, "one frequency")):
        with pytest.raises(NotApplicable, match=why):
            measured(circle(1), circle(1), basis=Basis("fourier", size))


def test_heads_of_the_reference_run_end_at_single_frequencies() -> None:
    output = attention_spectra(calibration_model.weights_only(16_900), calibration_model.context())
    assert (output.score_share[0].argmax(axis=1) + 1).tolist() == [41, 41, 41, 41]
    assert output.score_share[0, 0, 40] == pytest.approx(0.92, abs=0.01)
    assert output.qk_share.max() < 0.1  # no summand asks
    first = attention_spectra(calibration_model.weights_only(200), calibration_model.context())
    assert first.score_share.max() < 0.1


def random_shares(*shape: int) -> np.ndarray:
    """By frequency, of random functions of a token."""
    energy = (np.random.default_rng(0).normal(size=(*shape, N_FREQ, 2)) ** 2).sum(axis=-1)
    return energy / energy.sum(axis=-1, keepdims=True)


def test_scores_of_one_frequency_are_beyond_and_those_of_random_functions_are_not() -> None:
    some = measured(circle(1), circle(1), last=np.ones(D_HEAD))
    shares = (np.eye(N_FREQ)[2:3, None], random_shares(1, 1))
    both = [path(some, replace(some, score_share=x)) for x in shares]
    assert_told_apart("attention_spectra.overview", *both)
    assert_told_apart("attention_spectra.spectrum", *both, part="score")


def test_where_inputs_end_on_different_tokens_none_asks_and_pairs_of_tokens_are_judged() -> None:
    tokens = CONTEXT.probe.tokens[:, [2, 2, 1]]
    output = measured(circle(3), circle(3), probe=replace(CONTEXT.probe, tokens=tokens))
    assert output.score_share is output.score_energy is None
    assert judged("attention_spectra.overview", path(output)).is_beyond
    assert not judged("attention_spectra.spectrum", path(output), part="score").is_measured


def test_the_best_of_four_random_functions_rarely_has_more_at_one_frequency_than_the_null() -> None:
    draws = random_shares(10_000, 1, 4)
    assert 0.005 < (draws.max(axis=(1, 2, 3)) > of_one_frequency(draws[0]).threshold).mean() < 0.015


def test_the_mean_alignment_of_random_weights_is_rarely_more_than_the_null() -> None:
    blocks = np.random.default_rng(1).normal(size=(10_000, 4, 2, 2))
    sizes = np.abs(np.trace(blocks, axis1=2, axis2=3)) / np.linalg.norm(blocks, ord="nuc", axis=(2, 3))
    assert 0.005 < (sizes.mean(axis=1) > random_alignment(4)).mean() < 0.02


def test_heads_that_agree_in_phase_are_beyond_and_those_a_sixth_of_a_period_off_are_not() -> None:
    one = vars(measured(circle(1), circle(1), last=np.ones(D_HEAD)))
    two = AttentionSpectra(True, **{name: np.repeat(x, 2, axis=1) for name, x in one.items() if name != "is_native"})
    aligned, off = (path(two, replace(two, qk_alignment=np.full_like(two.qk_alignment, x))) for x in (-0.999, 0.5))
    assert_told_apart("attention_spectra.alignment", aligned, off)
