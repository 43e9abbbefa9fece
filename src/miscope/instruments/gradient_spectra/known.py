"""A network whose gradients lie at its own frequencies, built by hand."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from miscope.calibration.models import Addition, through_the_model
from miscope.instruments.gradient_spectra.measure import instrument
from miscope.plugin import Answer


def gradients_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31, trained on all pairs: it is pushed on at its own frequencies alone.

    Source: a shift of both summands turns every circle and, as there are phases for each turn, nothing else: gradients
    turn with them.
    """
    adder = Addition(n_phases=93)  # three times 31
    context = adder.context
    everything = replace(context, probe=replace(context.probe, is_train=np.ones(adder.p**2, dtype=bool)))
    spectra = through_the_model(instrument, adder.checkpoint(), everything)
    at = np.array(adder.frequencies) - 1
    for site, power in zip(spectra.site, spectra.power, strict=True):
        yield Answer(f"share of the three frequencies at the {site}", 1, power[at].sum(), 1e-3)


cases = (gradients_of_an_exact_adder,)
