"""Neurons whose frequencies and phases are planted in a network that adds exactly."""

from collections.abc import Iterator

import numpy as np

from miscope.calibration.models import Addition, through_the_model
from miscope.instruments.neuron_fourier.measure import instrument
from miscope.plugin import Answer


def phases_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31: neurons of frequency k read phase phi and write 2 phi.

    Source: Gromov 2023, arXiv:2301.02679, section 3 (phases of the exact solution).
    """
    addition = Addition()
    output = through_the_model(instrument, addition.checkpoint(), addition.context)
    planted = np.repeat(addition.frequencies, addition.n_phases)
    yield Answer("neurons that read their planted frequency", 303, (output.read_frequency[0] == planted).sum())
    yield Answer("neurons that write it", 303, (output.write_frequency[0] == planted).sum())
    yield Answer("least share of a neuron's energy at it", 1, output.read_share.min())
    yield Answer("inverse participation ratio", 1, output.read_concentration.mean())
    yield Answer("largest |2 phi - psi| in radians", 0, output.misalignment.max(), 1e-5)
    yield Answer("mean amplitude that is read", 3, output.read_amplitude.mean(), 1e-5)


cases = (phases_of_an_exact_adder,)
