"""The loss around the network: what several views of it show and are held against."""

import numpy as np

from miscope.analyzers.loss_landscape import LossLandscape
from miscope.core import Artifact
from miscope.views.shared.tidy import over_steps


def names_of_distances(landscape: Artifact[LossLandscape]) -> list[str]:
    return [f"distance {distance:g}" for distance in landscape[landscape.steps[0]].distance]


def mean_rise(landscape: Artifact[LossLandscape]) -> np.ndarray:
    """[step distance], in nats, over directions."""
    return np.asarray(landscape.stack("rise").mean(axis=1))


def standard_error(output: LossLandscape) -> np.ndarray:
    """[distance]: of the mean rise over directions, in nats."""
    return np.asarray(output.rise.std(axis=0, ddof=1) / np.sqrt(len(output.rise)))


def parabola(landscape: Artifact[LossLandscape]) -> np.ndarray:
    """[step distance]: the mean rise that the Hessian's trace says, distance^2 trace / (2 parameters), in nats."""
    first = landscape[landscape.steps[0]]
    return first.distance**2 * over_steps(landscape, "trace") / (2 * first.n_parameters)
