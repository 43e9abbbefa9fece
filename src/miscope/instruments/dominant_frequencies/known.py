"""Embeddings of planted frequencies, one of noise, and a network that adds exactly."""

from collections.abc import Iterator

import numpy as np

from miscope.calibration.models import Addition, probe, shape, through_the_model
from miscope.instruments.dominant_frequencies.measure import instrument
from miscope.plugin import Answer, Checkpoint


def planted_frequencies() -> Iterator[Answer]:
    """An embedding of cosines and sines of 3 and 7 modulo 23, with a constant and a large row for `=`.

    Source: Nanda et al. 2023, arXiv:2301.05217, section 4.1; the Gini of n of N that are equal is 1 - n / N.
    """
    p = 23
    x = 2 * np.pi * np.arange(p) / p
    waves = [f(k * x) for k in (3, 7) for f in (np.cos, np.sin)]
    weights = {"embed.W_E": np.vstack([np.stack([*waves, np.full(p, 5.0)], axis=1), np.full(5, 100.0)])}
    output = through_the_model(instrument, Checkpoint(0, shape(), weights), probe(1, p))
    yield Answer("share of frequency 3", 0.5, output.power[2])
    yield Answer("share of frequency 7", 0.5, output.power[6])
    yield Answer("dominant frequencies", 2, output.is_dominant.sum())
    yield Answer("Gini coefficient", 1 - 2 / 11, output.gini)
    yield Answer("inverse participation ratio", 0.5, output.inverse_participation_ratio)
    yield Answer("norm of the constant's row", 5 * np.sqrt(p), output.row_norm[0], 1e-5)


def frequencies_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31: embedding and unembedding hold 3, 7 and 12 alike.

    Source: see `calibration.models.Addition`.
    """
    addition = Addition()
    output = through_the_model(instrument, addition.checkpoint(), addition.context)
    at = np.array(addition.frequencies) - 1
    yield Answer("least share of the three in the embedding", 1 / 3, output.power[at].min())
    yield Answer("least share of the three in the unembedding", 1 / 3, output.unembedding_power[at].min())


def noise_in_the_embedding() -> Iterator[Answer]:
    """An embedding of noise, 113 tokens in 128 dimensions.

    Source: every direction has the same energy in the mean; the largest of 56 is below three times that.
    """
    weights = {"embed.W_E": np.random.default_rng(0).normal(size=(114, 128))}
    output = through_the_model(instrument, Checkpoint(0, shape(), weights), probe(1, 113))
    yield Answer("dominant frequencies", 0, output.is_dominant.sum())
    yield Answer("inverse participation ratio, over 1 / 56", 1, output.inverse_participation_ratio * 56, 0.02)


cases = (planted_frequencies, frequencies_of_an_exact_adder, noise_in_the_embedding)
