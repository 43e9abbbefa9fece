"""Neurons that are waves over the grid, and neurons of noise."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from miscope.calibration.models import on_planted, probe, shape
from miscope.instruments.neuron_spectra.measure import instrument
from miscope.plugin import Answer


def waves_over_the_grid() -> Iterator[Answer]:
    """Neurons 2 cos(w 4 a) cos(w 4 b) + cos(w 2 a) cos(w 2 b), cos(w 6 a) + cos(w 6 b), and cos(w 4 a) cos(w 5 b).

    Source: Nanda et al. 2023, arXiv:2301.05217, section 4.2 (fraction of variance by frequency); squares of amplitudes.
    """
    p = 13
    x = 2 * np.pi * np.arange(p) / p
    wave = lambda k, m: np.cos(k * x)[:, None] * np.cos(m * x)  # noqa: E731
    maps = (2 * wave(4, 4) + wave(2, 2), wave(6, 0) + wave(0, 6), wave(4, 5))
    post = np.stack([one.ravel() for one in maps], axis=1)
    output = on_planted(instrument, shape(d_mlp=3), replace(probe(p * p, p), grid=(p, p)), **{"mlp.hook_post": post})
    yield Answer("fraction of the first at frequency 4", 0.8, output.peak_fraction[0, 0])
    yield Answer("fraction of the first at frequency 2", 0.2, output.low_fraction[0, 0])
    yield Answer("fraction of the second at frequency 6", 1, output.fraction[0, 1, 5])
    yield Answer("largest fraction of a product of two frequencies", 0, output.fraction[0, 2].max())
    yield Answer("neurons specialised at 0.7", 2, output.n_specialised[0, 0])


def noise_over_the_grid() -> Iterator[Answer]:
    """Two hundred neurons of noise, modulo 31.

    Source: a frequency has 8 of the p^2 - 1 cells, so 8 / (p^2 - 1) of the variance of noise in the mean.
    """
    post = np.random.default_rng(0).normal(size=(31 * 31, 200))
    context = replace(probe(31 * 31, 31), grid=(31, 31))
    output = on_planted(instrument, shape(d_mlp=200), context, **{"mlp.hook_post": post})
    yield Answer("mean fraction of a frequency", 8 / 960, output.fraction.mean(), 2e-4)
    yield Answer("neurons specialised at 0.7", 0, output.n_specialised[0, 0])


cases = (waves_over_the_grid, noise_over_the_grid)
