"""Heads whose queries, keys and values are waves of known frequency and phase."""

from dataclasses import replace

import calibration_model
import numpy as np
import pytest
from judging import judged, over

from miscope.core import Checkpoint, Context, ModelConfig, NotApplicable, Probe
from miscope.instruments._shared.heads import of_one_frequency
from miscope.instruments.attention_spectra.measure import AttentionSpectra, attention_spectra, random_alignment
from miscope.maths.spectra import Basis

P, D_HEAD = 13, 4
N_FREQ = P // 2
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
    np.testing.assert_allclose(output.query_share[0, 0], np.eye(6)[1], atol=1e-6)
    np.testing.assert_allclose(output.key_share[0, 0], np.eye(6)[4], atol=1e-6)


def test_the_last_token_asks_by_a_wave_that_queries_between_tokens_do_not_show() -> None:
    key = rows(np.cos(2 * X), 3 * np.cos(5 * X))
    output = measured(circle(1), key, last=np.array([0, 2.0, 0, 0]))
    assert output.score_share is not None and output.score_energy is not None
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
    x = np.arange(8)
    weight = np.zeros((8, D_HEAD), dtype=np.float32)
    weight[:, 0] = (-1.0) ** x
    heads = {f"blocks.0.attn.{name}": sign * weight[None] for name, sign in (("W_Q", 1), ("W_K", -1), ("W_V", 1))}
    checkpoint = Checkpoint(0, MODEL, {"embed.W_E": np.eye(8, dtype=np.float32), **heads})
    context = replace(CONTEXT, basis=Basis("fourier", 8), probe=replace(PROBE, tokens=np.full((2, 3), 7)))
    output = attention_spectra(checkpoint, context)
    np.testing.assert_allclose(output.qk_share[0, 0], [0, 0, 0, 1], atol=1e-6)
    assert output.qk_alignment[0, 0, 3] == pytest.approx(-1)
    null = judged("attention_spectra.alignment", over({0: output}), context)
    assert not null.is_measured  # a wave of two tokens has no phase


def test_a_head_of_zeros_has_no_shares_and_no_alignment() -> None:
    output = measured(np.zeros((P, D_HEAD)), circle(2))
    assert not output.qk_share.any()
    assert not output.query_share.any()
    assert np.isnan(output.qk_alignment).all()


def test_what_cannot_apply_says_why() -> None:
    embedding = {"embed.W_E": np.eye(P + 1)}
    with pytest.raises(NotApplicable, match="no attention"):
        attention_spectra(Checkpoint(0, MODEL, embedding), CONTEXT)
    with pytest.raises(NotApplicable, match="fewer rows than the basis' 29 tokens"):
        measured(circle(1), circle(1), basis=Basis("fourier", 29))
    with pytest.raises(NotApplicable, match="one frequency"):
        measured(circle(1), circle(1), basis=Basis("fourier", 2))


def test_heads_of_the_reference_run_end_at_single_frequencies() -> None:
    output = attention_spectra(calibration_model.weights_only(16_900), calibration_model.context())
    assert output.score_share is not None
    assert (output.score_share[0].argmax(axis=1) + 1).tolist() == [41, 41, 41, 41]
    assert output.score_share[0, 0, 40] == pytest.approx(0.92, abs=0.01)
    assert output.qk_share.max() < 0.1  # no summand asks
    first = attention_spectra(calibration_model.weights_only(200), calibration_model.context())
    assert first.score_share is not None and first.score_share.max() < 0.1


# ---------------------------------------------------------------- what chance would show


def random_shares(*shape: int) -> np.ndarray:
    """By frequency, of random functions of a token."""
    energy = (np.random.default_rng(0).normal(size=(*shape, N_FREQ, 2)) ** 2).sum(axis=-1)
    return energy / energy.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(("view", "options"), [("overview", {}), ("spectrum", {"part": "score"})])
def test_scores_of_one_frequency_are_beyond_and_those_of_random_functions_are_not(
    view: str, options: dict[str, str]
) -> None:
    some = measured(circle(1), circle(1), last=np.ones(D_HEAD))
    random, wave = (replace(some, score_share=x) for x in (random_shares(1, 1), np.eye(N_FREQ)[2:3, None]))
    nulls = [judged(f"attention_spectra.{view}", over({0: some, 100: x}), **options) for x in (random, wave)]
    assert [null.verdict for null in nulls] == ["Within its null", "Beyond its null"]


def test_where_inputs_end_on_different_tokens_none_asks_and_pairs_of_tokens_are_judged() -> None:
    output = measured(circle(3), circle(3), probe=replace(PROBE, tokens=np.array([[0, 1, 2], [0, 1, 3]])))
    assert output.score_share is output.score_energy is None
    path = over({0: output})
    assert judged("attention_spectra.overview", path).is_beyond
    assert not judged("attention_spectra.spectrum", path, part="score").is_measured


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
    aligned, off = (replace(two, qk_alignment=np.full_like(two.qk_alignment, x)) for x in (-0.999, 0.5))
    nulls = [judged("attention_spectra.alignment", over({0: two, 100: x})) for x in (aligned, off)]
    assert [null.verdict for null in nulls] == ["Beyond its null", "Within its null"]
