"""Neurons whose history is written by hand."""

from collections.abc import Iterator

import numpy as np

from miscope.calibration.models import probe, tracked
from miscope.instruments.neuron_dynamics.measure import instrument
from miscope.instruments.neuron_spectra.measure import NeuronSpectra
from miscope.plugin import Answer

STEPS = (0, 100, 250, 1000)


def neurons_that_commit_and_switch() -> Iterator[Answer]:
    """Four neurons at steps 0, 100, 250, 1000: one rests, one switches thrice, one commits at 250, one has nothing.

    Source: by counting.
    """
    frequency = np.array([[5, 5, 4, 7], [5, 9, 4, 7], [5, 5, 8, 7], [5, 6, 8, 7]])
    fraction = np.array([[0.9, 0.5, 0.9, 0.1], [0.9, 0.5, 0.9, 0.1], [0.9, 0.5, 0.9, 0.1], [0.9, 0.8, 0.9, 0.1]])
    path = {s: spectrum(k, f) for s, k, f in zip(STEPS, frequency, fraction, strict=True)}
    output = tracked(instrument, path, context=probe(1, 41))
    yield Answer("commitment of the one that rests", 0, output.commitment_step[0, 0])
    yield Answer("commitment of the second", 1000, output.commitment_step[0, 1])
    yield Answer("commitment of the third", 250, output.commitment_step[0, 2])
    yield Answer("neurons that never commit", 1, np.isnan(output.commitment_step).sum())
    yield Answer("switches of the second", 3, output.n_switches[0, 1])
    yield Answer("switches of all", 4, output.n_switches.sum())
    yield Answer("transient frequencies", 1, output.is_transient.sum())
    yield Answer("the transient frequency", 4, 1 + output.is_transient[0].argmax())
    yield Answer("concentration at the end: three frequencies alike", 1 / 3, output.concentration[-1, 0])


def spectrum(frequency: np.ndarray, fraction: np.ndarray) -> NeuronSpectra:
    """Neurons of one layer, of which the peaks alone are read."""
    peak, spectra = fraction[None].astype(np.float32), np.zeros((1, len(frequency), 20), dtype=np.float16)
    k, n_specialised = frequency[None].astype(np.int32), np.array([[0, 0]])
    return NeuronSpectra(spectra, k, peak, np.zeros_like(peak), np.array([0.7, 0.9]), n_specialised)


cases = (neurons_that_commit_and_switch,)
