"""A matrix that grows by a known amount."""

from collections.abc import Iterator

import numpy as np

from miscope.calibration.models import probe, run_of, shape, tracked
from miscope.instruments.weight_norms.measure import instrument
from miscope.plugin import Answer


def weights_that_grow() -> Iterator[Answer]:
    """A matrix of norm 5 that grows by a fifth of itself each step.

    Source: by arithmetic; Barak et al. 2022, arXiv:2207.08799 (the largest change of one weight).
    """
    path = (1 + np.arange(6)[:, None, None] / 5) * np.diag([3.0, 4.0])
    norms = tracked(instrument, run_of(shape(), "blocks.0.mlp.W_in", path), context=probe(1))
    yield Answer("norm at the end", 10, norms.norm[0, -1], 1e-5)
    yield Answer("distance from the start", 5, norms.distance[0, -1], 1e-5)
    yield Answer("largest change of one weight", 4, norms.largest_change[0, -1], 1e-5)


cases = (weights_that_grow,)
