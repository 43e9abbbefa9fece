"""Neurons planted at known frequencies."""

from collections import Counter
from dataclasses import replace

import calibration_model
import numpy as np
import pytest
from judging import CONTEXT, P, assert_told_apart, over, path

from miscope.calibration.models import shape
from miscope.catalog import builtin
from miscope.core import Checkpoint, Context, NotApplicable
from miscope.instruments.neuron_spectra.measure import NeuronSpectra, neuron_spectra

MODEL = shape(d_mlp=5, n_ctx=3, d_vocab=P + 1, d_vocab_out=P)


def wave(k: int, other: int | None = None) -> np.ndarray:
    """cos(k a) cos(other b), a neuron's map over (a, b)."""
    x = 2 * np.pi * np.arange(P) / P
    return np.cos(k * x)[:, None] * np.cos((k if other is None else other) * x)[None, :]


def measured(*maps: np.ndarray, context: Context = CONTEXT) -> NeuronSpectra:
    post = np.stack([m.ravel() for m in maps], axis=1).astype(np.float32)
    return neuron_spectra(Checkpoint(0, MODEL, {}, {"blocks.0.mlp.hook_post": post}), context)


def tuned(*frequencies: int) -> NeuronSpectra:
    return measured(*(wave(k, 0) + wave(0, k) for k in frequencies))


def drawn(seed: int) -> NeuronSpectra:
    """Sixty neurons that add random functions of the summands."""
    return measured(*(a[:, None] + b for a, b in np.random.default_rng(seed).normal(size=(60, 2, P))))


def test_neurons_are_counted_at_their_frequency_and_above_each_level() -> None:
    output = measured(2 + wave(4), wave(6, 0) + wave(0, 6), 2 * wave(4) + wave(2))
    np.testing.assert_array_equal(output.peak_frequency, [[4, 6, 4]])
    np.testing.assert_array_equal(output.n_specialised, [[3, 2]])
    np.testing.assert_array_equal(output.level, [0.7, 0.9])
    still = measured(np.zeros((P, P)), np.full((P, P), 0.3))
    assert not still.peak_frequency.any() and not still.peak_fraction.any()


def test_permuting_neurons_permutes_the_answer_and_swapping_the_summands_changes_nothing() -> None:
    maps, order = np.random.default_rng(0).normal(size=(5, P, P)), [3, 1, 4, 0, 2]
    before = measured(*maps).fraction
    np.testing.assert_allclose(measured(*maps[order]).fraction, before[:, order], rtol=1e-3)
    np.testing.assert_allclose(measured(*maps.swapaxes(1, 2)).fraction, before, rtol=1e-3)


def test_what_cannot_apply_says_why() -> None:
    with pytest.raises(NotApplicable, match="13 tokens"):
        measured(wave(1), context=replace(CONTEXT, grid=None))
    with pytest.raises(NotApplicable, match="no MLP"):
        neuron_spectra(Checkpoint(0, replace(MODEL, d_mlp=0), {}), CONTEXT)


@pytest.mark.parametrize("view", ["overview", "clusters", "peak_fractions", "population"])
def test_tuned_neurons_are_beyond_and_random_functions_of_the_summands_within(view: str) -> None:
    few, many = drawn(0), tuned(*[1, 2, 3] * 20)
    assert_told_apart(f"neuron_spectra.{view}", path(few, many), path(many, few))


def test_a_population_is_judged_at_any_level() -> None:
    view, artifact = builtin().view("neuron_spectra.population"), over({0: tuned(*[1, 2, 3] * 20)})
    nulls = [view.tabulate(artifact, CONTEXT, step=0, level=level).null for level in (0.7, 0.8)]
    assert [(null.value, null.is_beyond) for null in nulls] == [(20, True), (20, True)]
    assert "(at least 80 %)" in nulls[1].statistic


def test_neurons_that_were_coarse_for_a_time_were_beyond() -> None:
    fine, coarse = tuned(*[6] * 60), tuned(*[1] * 60)
    assert_told_apart("neuron_spectra.low_frequency", path(fine, coarse, fine), path(fine, drawn(0), fine))


def test_clusters_count_every_neuron_once() -> None:
    bands = builtin().view("neuron_spectra.clusters").table(over({0: tuned(4, 6, 4, 1, 6)}), CONTEXT, 0).bands
    assert bands == [(0, 0, "k = 1 (1)"), (1, 2, "k = 4 (2)"), (3, 4, "k = 6 (2)")]


def test_the_reference_run_has_its_known_neurons_above_85_percent_per_frequency() -> None:
    early, late, last = (
        neuron_spectra(calibration_model.checkpoint(step), calibration_model.context())
        for step in (1500, 13_000, 16_900)
    )
    assert [(output.peak_fraction > 0.85).sum() for output in (early, late)] == [0, 7]
    peaks = last.peak_frequency[last.peak_fraction > 0.85]
    assert Counter(peaks.tolist()) == {8: 70, 19: 52, 36: 5, 38: 31, 41: 35, 54: 51}
