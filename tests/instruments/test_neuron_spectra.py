"""Neurons planted at known frequencies."""

from dataclasses import replace

import calibration_model
import numpy as np
import pytest

from miscope.analyzers.neuron_spectra import NeuronSpectra, neuron_spectra
from miscope.core import Checkpoint, Context, ModelConfig, NotApplicable, Probe
from miscope.maths.spectra import Basis

P = 13
MODEL = ModelConfig(n_layers=1, d_model=4, n_heads=1, d_head=4, d_mlp=5, n_ctx=3, d_vocab=P + 1, d_vocab_out=P)
PROBE = Probe(np.zeros((P * P, 3), dtype=np.int64), np.zeros(P * P, dtype=np.int64), np.ones(P * P, dtype=bool))
CONTEXT = Context(probe=PROBE, answer_position=2, basis=Basis("fourier", P), grid=(P, P))


def wave(k: int, other: int | None = None) -> np.ndarray:
    """cos(k a) cos(other b), a neuron's map over (a, b)."""
    x = 2 * np.pi * np.arange(P) / P
    return np.cos(k * x)[:, None] * np.cos((k if other is None else other) * x)[None, :]


def measured(*maps: np.ndarray, context: Context = CONTEXT) -> NeuronSpectra:
    post = np.stack([m.ravel() for m in maps], axis=1).astype(np.float32)
    return neuron_spectra(Checkpoint(0, MODEL, {}, {"blocks.0.mlp.hook_post": post}), context)


def test_neurons_of_one_frequency_are_specialised_at_it() -> None:
    found = measured(2 + wave(4), wave(6, 0) + wave(0, 6))
    np.testing.assert_array_equal(found.peak_frequency, [[4, 6]])
    np.testing.assert_allclose(found.fraction, [np.eye(6)[[3, 5]]], atol=1e-6)
    np.testing.assert_array_equal(found.n_specialised, [[2, 2]])
    np.testing.assert_array_equal(found.level, [0.7, 0.9])


def test_a_product_of_two_frequencies_is_specialised_at_none() -> None:
    found = measured(wave(4, 5))
    np.testing.assert_allclose(found.fraction, 0, atol=1e-6)
    np.testing.assert_array_equal(found.n_specialised, [[0, 0]])


def test_a_mixed_neuron_splits_by_squared_amplitudes() -> None:
    found = measured(2 * wave(4) + wave(2))
    np.testing.assert_allclose(found.fraction[0, 0, [1, 3]], [0.2, 0.8], rtol=5e-4)  # stored in half precision
    np.testing.assert_allclose(found.peak_fraction, 0.8, rtol=1e-5)
    np.testing.assert_allclose(found.low_fraction, 0.2, rtol=1e-5)
    np.testing.assert_array_equal(found.n_specialised, [[1, 0]])


def test_a_neuron_that_does_not_vary_has_frequency_zero() -> None:
    found = measured(np.zeros((P, P)), np.full((P, P), 0.3))
    assert not found.peak_frequency.any()
    assert not found.peak_fraction.any()


def test_permuting_neurons_permutes_the_answer() -> None:
    maps, order = np.random.default_rng(0).normal(size=(5, P, P)), [3, 1, 4, 0, 2]
    np.testing.assert_allclose(measured(*maps[order]).fraction, measured(*maps).fraction[:, order], rtol=1e-3)


def test_swapping_the_summands_changes_nothing() -> None:
    maps = np.random.default_rng(1).normal(size=(3, P, P))
    np.testing.assert_allclose(measured(*maps.swapaxes(1, 2)).fraction, measured(*maps).fraction, rtol=1e-3)


def test_a_probe_that_is_no_grid_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="13 tokens"):
        measured(wave(1), context=replace(CONTEXT, grid=None))


def test_a_model_without_mlp_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="no MLP"):
        neuron_spectra(Checkpoint(0, replace(MODEL, d_mlp=0), {}), CONTEXT)


@pytest.mark.parametrize(("step", "expected"), [(1500, 0), (13_000, 7), (16_900, 244)])
def test_the_reference_run_has_its_known_number_of_neurons_above_85_percent(step: int, expected: int) -> None:
    found = neuron_spectra(calibration_model.checkpoint(step), calibration_model.context())
    assert (found.peak_fraction > 0.85).sum() == expected


def test_the_reference_run_has_its_known_neurons_per_frequency() -> None:
    found = neuron_spectra(calibration_model.checkpoint(16_900), calibration_model.context())
    peaks = found.peak_frequency[found.peak_fraction > 0.85]
    counts = {int(k): int((peaks == k).sum()) for k in np.unique(peaks)}
    assert counts == {8: 70, 19: 52, 36: 5, 38: 31, 41: 35, 54: 51}
