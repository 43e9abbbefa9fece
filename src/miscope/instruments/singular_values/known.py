"""Matrices of known spectrum."""

from collections.abc import Iterator

import numpy as np

from miscope.calibration.models import probe, shape, through_the_model
from miscope.instruments.singular_values.measure import instrument
from miscope.plugin import Answer, Checkpoint


def matrices_of_known_spectrum() -> Iterator[Answer]:
    """A random rotation times the singular values 4, 4, 2, 1, 1 times another; a matrix of rank one.

    Source: Roy and Vetterli 2007, EUSIPCO, definition 1 (effective rank); Gao et al. 2017, doi:10.1101/214262.
    """
    rng, s = np.random.default_rng(0), np.array([4.0, 4, 2, 1, 1])
    left, right = (np.linalg.qr(rng.normal(size=(n, 5)))[0] for n in (9, 7))
    weights = {"embed.W_E": (left * s) @ right.T, "blocks.0.mlp.W_in": np.outer(np.arange(1, 10), np.ones(7))}
    values = through_the_model(instrument, Checkpoint(0, shape(), weights), probe(1))
    q = s / s.sum()
    yield Answer("participation ratio: 12^2 / 38", 144 / 38, values.participation_ratio[0])
    yield Answer("effective rank: exp of the entropy", np.exp(-(q * np.log(q)).sum()), values.effective_rank[0])
    yield Answer("spectral norm", 4, values.spectral_norm[0])
    yield Answer("Frobenius norm", np.sqrt(38), values.frobenius_norm[0])
    yield Answer("participation ratio of rank one", 1, values.participation_ratio[1])
    yield Answer("effective rank of rank one", 1, values.effective_rank[1], 1e-5)


cases = (matrices_of_known_spectrum,)
