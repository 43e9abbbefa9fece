"""Logits whose frequencies were put into them, or built into the weights."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from miscope.calibration.models import Addition, on_planted, probe, shape, through_the_model
from miscope.instruments.logit_spectra.measure import instrument
from miscope.plugin import Answer


def logits_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31 with gains 3, 2, 1 at frequencies 3, 7, 12: a pizza.

    Source: Zhong et al. 2023, arXiv:2306.17844, section 4 (logits with |cos(w (a - b) / 2)|); of its energy the mean of
    |cos| has (2 / (p sin(pi / 2p)))^2 / 2, which goes to 8 / pi^2 = 0.81.
    """
    adder = Addition()
    spectra, share = through_the_model(instrument, adder.checkpoint(), adder.context), 2 * adder.mean_size**2
    yield Answer("share of the logits' energy along the answer", share, spectra.share.sum(), 1e-3)
    for k, gain, amplitude in zip(adder.frequencies, adder.gains, adder.amplitude, strict=True):
        yield Answer(f"share of frequency {k}", share * gain**2 / 14, spectra.share[k - 1], 1e-3)
        size = amplitude * adder.mean_size
        yield Answer(f"amplitude of cos(w {k}) in logits", size, spectra.trig_amplitude[k - 1], 1e-3 * size)
    yield Answer("share along cosines, over share along both", 1, spectra.trig_share.sum() / spectra.share.sum())


def planted_cosines() -> Iterator[Answer]:
    """Logits 3 cos(w 2 (a + b - c)) + cos(w 5 (a + b - c)) modulo 11: a clock.

    Source: Nanda et al. 2023, arXiv:2301.05217, section 4.1; shares are of squares.
    """
    p = 11
    a, b = np.divmod(np.arange(p * p), p)
    angle = 2 * np.pi * ((a + b)[:, None] - np.arange(p)) / p
    context = replace(probe(p * p, p), grid=(p, p), probe=replace(probe(p * p).probe, targets=(a + b) % p))
    logits = 3 * np.cos(2 * angle) + np.cos(5 * angle)
    spectra = on_planted(instrument, shape(d_vocab_out=p), context, logits=logits)
    yield Answer("share of frequency 2", 0.9, spectra.share[1])
    yield Answer("share of frequency 5", 0.1, spectra.share[4])
    yield Answer("share of all others", 0, spectra.share[[0, 2, 3]].sum())


cases = (logits_of_an_exact_adder, planted_cosines)
