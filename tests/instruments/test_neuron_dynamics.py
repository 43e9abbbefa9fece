"""Neurons whose history is written by hand."""

import numpy as np

from miscope.analyzers.neuron_spectra import NeuronSpectra
from miscope.core import Context, Probe
from miscope.instrument import Artifact
from miscope.maths.spectra import Basis
from miscope.trackers.neuron_dynamics import NeuronDynamics, neuron_dynamics

P = 41  # twenty frequencies: three times the even share is 0.15
PROBE = Probe(np.zeros((1, 1), dtype=np.int64), np.zeros(1, dtype=np.int64), np.ones(1, dtype=bool))
CONTEXT = Context(probe=PROBE, answer_position=0, basis=Basis("fourier", P))
STEPS = (0, 100, 250, 1000)


def followed(frequencies: list[list[int]], fractions: list[list[float]]) -> NeuronDynamics:
    """From one row per checkpoint and one column per neuron of a single layer."""
    outputs = {s: spectrum(k, f) for s, k, f in zip(STEPS, frequencies, fractions, strict=False)}
    return neuron_dynamics(Artifact(tuple(outputs), outputs.__getitem__), CONTEXT)


def spectrum(frequencies: list[int], fractions: list[float]) -> NeuronSpectra:
    peak = np.array([fractions], dtype=np.float32)
    return NeuronSpectra(
        fraction=np.zeros((1, len(frequencies), P // 2), dtype=np.float16),
        peak_frequency=np.array([frequencies], dtype=np.int32),
        peak_fraction=peak,
        low_fraction=np.zeros_like(peak),
        level=np.array([0.7, 0.9]),
        n_specialised=np.array([[0, 0]]),
    )


def test_a_neuron_commits_where_its_final_frequency_holds_above_three_even_shares() -> None:
    frequencies = [[5, 5, 5, 7], [9, 5, 5, 7], [5, 5, 5, 7], [5, 5, 5, 7]]
    fractions = [[0.2, 0.2, 0.1, 0.1], [0.2, 0.2, 0.9, 0.1], [0.2, 0.2, 0.1, 0.1], [0.2, 0.2, 0.2, 0.1]]
    np.testing.assert_array_equal(followed(frequencies, fractions).commitment_step, [[250, 0, 1000, np.nan]])


def test_switches_are_counted_between_checkpoints_where_the_neuron_is_tuned() -> None:
    frequencies = [[5, 5, 5, 0], [9, 9, 9, 0], [5, 5, 9, 0], [6, 5, 9, 3]]
    fractions = [[0.5, 0.5, 0.5, 0.0], [0.5, 0.1, 0.5, 0.0], [0.5, 0.5, 0.1, 0.0], [0.5, 0.5, 0.5, 0.8]]
    np.testing.assert_array_equal(followed(frequencies, fractions).n_switches, [[3, 0, 1, 0]])


def test_counts_and_concentration_take_specialised_neurons_alone() -> None:
    found = followed([[1, 1, 20, 20], [1, 1, 20, 2]], [[0.6, 0.5, 0.1, 0.0], [0.7, 0.8, 0.9, 0.69]])
    assert not found.neurons_per_frequency[0].any()
    assert np.isnan(found.concentration[0, 0])
    np.testing.assert_array_equal(found.neurons_per_frequency[1, 0, [0, 1, 19]], [2, 0, 1])
    np.testing.assert_allclose(found.concentration[1], [5 / 9])


def test_a_frequency_that_loses_its_neurons_is_transient() -> None:
    found = followed([[4, 4, 8], [8, 8, 8]], [[0.9, 0.9, 0.9], [0.9, 0.9, 0.9]])
    np.testing.assert_array_equal(np.flatnonzero(found.is_transient[0]) + 1, [4])


def test_permuting_neurons_permutes_them_and_leaves_the_counts() -> None:
    rng, order = np.random.default_rng(0), [2, 0, 3, 1]
    frequencies, fractions = rng.integers(1, 21, size=(4, 4)), rng.random((4, 4))
    before = followed(frequencies.tolist(), fractions.tolist())
    after = followed(frequencies[:, order].tolist(), fractions[:, order].tolist())
    np.testing.assert_array_equal(after.commitment_step, before.commitment_step[:, order])
    np.testing.assert_array_equal(after.neurons_per_frequency, before.neurons_per_frequency)


def test_one_checkpoint_is_followed_without_switches() -> None:
    found = followed([[5, 7]], [[0.9, 0.1]])
    np.testing.assert_array_equal(found.commitment_step, [[0, np.nan]])
    assert not found.n_switches.any()
    assert not found.is_transient.any()
