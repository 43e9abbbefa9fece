"""Characters planted in the margin between two answers, and noise."""

from collections.abc import Iterator
from dataclasses import replace
from math import comb
from typing import Any

import numpy as np

from miscope.calibration.models import on_planted, probe, shape
from miscope.instruments.walsh_spectrum.measure import instrument
from miscope.maths.spectra import bits
from miscope.plugin import Answer, Context


def characters_in_the_margin() -> Iterator[Answer]:
    """The margin between two answers over all 6 bits: -3 chi(x1 x4) + 1 chi(x2).

    Source: O'Donnell 2014, Analysis of Boolean Functions, sections 1.2 to 1.4 (characters; Parseval).
    """
    chi = (-1.0) ** bits(np.arange(64), 6)
    context = replace(probe(64), grid=(2,) * 6, relevant_axes=(0, 3))
    output = _of_margin(-3 * chi[:, 0] * chi[:, 3] + chi[:, 1], context)
    yield Answer("coefficient of the target", -3, output.target_coefficient)
    yield Answer("share of the target", 0.9, output.target_share)
    yield Answer("energy: the mean square of the margin", 10, output.energy, 1e-5)
    yield Answer("rank among pairs of bits", 1, output.target_rank)
    yield Answer("pairs of bits", comb(6, 2), output.n_of_its_size)
    yield Answer("root mean square of the other pairs", 0, output.other_coefficient)
    yield Answer("share of single bits", 0.1, output.degree_share[1])


def characters_in_noise() -> Iterator[Answer]:
    """A margin of noise over all 10 bits.

    Source: Parseval; a random function has binomial(n, d) / 2^n of its energy at degree d.
    """
    margin = np.random.default_rng(0).normal(size=1024)
    output = _of_margin(margin, replace(probe(1024), grid=(2,) * 10))
    yield Answer("energy, over the mean square", 1, output.energy / (margin**2).mean(), 1e-5)
    yield Answer("share of the five bits' sets", comb(10, 5) / 1024, output.degree_share[5], 0.04)


def _of_margin(margin: np.ndarray, context: Context) -> Any:
    return on_planted(instrument, shape(d_vocab_out=2), context, logits=np.stack([-margin / 2, margin / 2], axis=1))


cases = (characters_in_the_margin, characters_in_noise)
