"""A loss whose landscape is known in closed form."""

from collections.abc import Iterator

import numpy as np

from miscope.instruments._shared.planted_loss import measured, quadratic
from miscope.instruments.loss_landscape.measure import instrument
from miscope.plugin import Answer


def rises_around_a_bowl() -> Iterator[Answer]:
    """A quadratic bowl of 400 parameters with curvatures from 0.01 to 5, and a saddle.

    Source: in a random unit direction the loss rises by distance^2 trace / (2 parameters) in the mean, by arithmetic.
    """
    bends = np.geomspace(0.01, 5, 400)
    bowl = measured(instrument, quadratic(bends), directions=200)
    yield Answer("largest eigenvalue", 5, bowl.top_eigenvalue, 0.05)
    yield Answer("trace, over that of the curvatures", 1, bowl.trace / bends.sum(), 0.1)
    for distance, rise in zip(bowl.distance, bowl.rise.mean(axis=0), strict=True):
        expected = distance**2 * bends.sum() / 800
        yield Answer(f"mean rise at distance {distance:g}, over what is expected", 1, rise / expected, 0.03)
    saddle = measured(instrument, quadratic(np.append(bends, -3.0)))
    yield Answer("least eigenvalue of the saddle", -3, saddle.least_eigenvalue, 0.05)


cases = (rises_around_a_bowl,)
