"""Spectra of embeddings planted at known frequencies."""

from dataclasses import replace

import calibration_model
import numpy as np
import pytest

from miscope.analyzers.dominant_frequencies import ORDERS, DominantFrequencies, dominant_frequencies
from miscope.core import Checkpoint, Context, ModelConfig, NotApplicable, Probe
from miscope.maths.spectra import Basis, energy_by_frequency, gini

P = 23
MODEL = ModelConfig(n_layers=1, d_model=8, n_heads=1, d_head=8, d_mlp=0, n_ctx=3, d_vocab=P + 1, d_vocab_out=P)
PROBE = Probe(np.zeros((1, 3), dtype=np.int64), np.zeros(1, dtype=np.int64), np.ones(1, dtype=bool))
CONTEXT = Context(probe=PROBE, answer_position=2, basis=Basis("fourier", P))


def planted(*frequencies: int) -> np.ndarray:
    """[P + 1, 8]: cosine and sine of each frequency in its own directions, a constant, and a large row for `=`."""
    x = 2 * np.pi * np.arange(P) / P
    waves = [wave for k in frequencies for wave in (np.cos(k * x), np.sin(k * x))]
    columns = np.stack([*waves, np.full(P, 5.0), *[np.zeros(P)] * (7 - len(waves))], axis=1)
    return np.vstack([columns, np.full(8, 100.0)]).astype(np.float32)


def measured(**weights: np.ndarray) -> DominantFrequencies:
    names = {"W_E": "embed.W_E", "W_U": "unembed.W_U"}
    return dominant_frequencies(Checkpoint(0, MODEL, {names[k]: v for k, v in weights.items()}), CONTEXT)


def test_planted_frequencies_share_the_power_equally() -> None:
    found = measured(W_E=planted(3, 7))
    np.testing.assert_array_equal(found.frequency[found.is_dominant], [3, 7])
    np.testing.assert_allclose(found.power[found.is_dominant], 0.5, rtol=1e-6)
    assert found.power.sum() == pytest.approx(1)
    assert found.inverse_participation_ratio == pytest.approx(0.5)
    assert found.gini == pytest.approx(1 - 2 / 11)  # n of N equal, the rest zero: 1 - n / N


def test_row_norms_are_those_of_the_basis_rows_with_the_constant_first() -> None:
    norms = measured(W_E=planted(3)).row_norm
    assert norms[0] == pytest.approx(5 * np.sqrt(P))
    np.testing.assert_allclose(norms[[5, 6]], np.sqrt(P / 2), rtol=1e-6)
    assert norms.sum() == pytest.approx(norms[[0, 5, 6]].sum(), abs=1e-4)


def test_an_even_spectrum_has_no_dominant_frequency() -> None:
    found = measured(W_E=np.eye(P, dtype=np.float32))
    assert not found.is_dominant.any()
    assert found.gini == pytest.approx(0, abs=1e-9)
    assert found.inverse_participation_ratio == pytest.approx(1 / 11)


def test_planted_frequencies_are_beyond_random_orders_of_the_tokens_and_noise_is_not() -> None:
    waves = measured(W_E=planted(3, 7))
    assert waves.power.max() > 1.5 * waves.chance_power
    assert waves.gini > 1.5 * waves.chance_gini
    draws = [measured(W_E=np.random.default_rng(i).normal(size=(P, 8)).astype(np.float32)) for i in range(100)]
    assert np.sum([draw.power.max() > draw.chance_power for draw in draws]) <= 5
    assert np.sum([draw.gini > draw.chance_gini for draw in draws]) <= 5


@pytest.mark.parametrize("p", [2, 12, P])
def test_chance_is_that_of_tokens_moved_about(p: int) -> None:
    basis = Basis("fourier", p)
    embedding, rng, energies = np.random.default_rng(5).normal(size=(p, 8)), np.random.default_rng(0), []
    for _ in range(ORDERS):
        moved = np.empty_like(embedding)
        moved[rng.permutation(p)] = embedding
        energies.append(energy_by_frequency(basis, moved).sum(axis=1))
    weights = {"embed.W_E": embedding}
    found = dominant_frequencies(Checkpoint(0, MODEL, weights), replace(CONTEXT, basis=basis))
    shares = [energy.max() / energy.sum() for energy in energies]
    assert found.chance_power == pytest.approx(np.quantile(shares, 0.99))
    assert found.chance_gini == pytest.approx(np.quantile([gini(np.sqrt(energy)) for energy in energies], 0.99))


def test_an_embedding_that_is_shuffled_is_as_its_null() -> None:
    shuffled = np.random.default_rng(0).permutation(planted(3)[:P])
    found = measured(W_E=shuffled)
    assert found.power.max() <= found.chance_power
    assert found.chance_power == pytest.approx(measured(W_E=planted(3)).chance_power, rel=0.2)


def test_rotating_the_residual_stream_changes_nothing() -> None:
    embedding = np.random.default_rng(0).normal(size=(P + 1, 8))
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    before, after = measured(W_E=embedding), measured(W_E=embedding @ rotation)
    np.testing.assert_allclose(before.power, after.power)
    np.testing.assert_allclose(before.row_norm, after.row_norm)


def test_the_unembedding_is_read_over_its_output_tokens() -> None:
    found = measured(W_E=planted(3), W_U=planted(7)[:P].T)
    assert found.unembedding_power is not None
    np.testing.assert_allclose(found.unembedding_power[[2, 6]], [0, 1], atol=1e-6)


def test_an_unembedding_of_other_tokens_is_absent() -> None:
    assert measured(W_E=planted(3), W_U=planted(7).T).unembedding_power is None


def test_an_embedding_smaller_than_the_group_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="23 tokens"):
        measured(W_E=np.ones((5, 8), dtype=np.float32))


def test_the_reference_run_ends_with_its_known_frequencies_and_gini() -> None:
    found = dominant_frequencies(calibration_model.weights_only(16_900), calibration_model.context())
    assert {8, 19, 38, 41, 54} <= set(found.frequency[found.is_dominant].tolist())
    assert gini(found.row_norm) == pytest.approx(0.571, abs=1e-3)  # the published number is over the 113 rows
    assert found.gini == pytest.approx(0.564, abs=1e-3)
