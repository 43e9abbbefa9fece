"""Groups of neurons that lie on circles in weight space, flat or bent by hand."""

from collections.abc import Iterator

import numpy as np

from miscope.calibration.models import Addition, probe, shape, tracked
from miscope.instruments.neuron_groups.measure import instrument
from miscope.plugin import Answer, Checkpoint


def groups_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31: the neurons of each frequency lie on a circle in weight space.

    Source: an even circle has two equal principal components and its radius as spread, by arithmetic.
    """
    addition = Addition()
    output = tracked(instrument, {0: addition.checkpoint()}, context=addition.context)
    yield Answer("groups beside that of all neurons", 3, (output.frequency > 0).sum())
    yield Answer("sum of their frequencies", sum(addition.frequencies), output.frequency.sum())
    yield Answer("largest error of their sizes", 0, np.abs(output.size[1:] - addition.n_phases).max())
    yield Answer("largest error of a first share", 0, np.abs(output.share[1:, 0, 0] - 0.5).max())
    yield Answer("spread: the circle's radius", 1, output.spread[1:, 0].mean())
    yield Answer("groups that are not flat", 0, (output.shape[1:, 0] > 0).sum())


def rings_that_are_bent() -> Iterator[Answer]:
    """Forty neurons on a circle: bent up at two ends and down at the others; of two radii at two heights.

    Source: PC3 = cos(2 t) = x^2 - y^2 is a saddle, PC3 = r^2 = x^2 + y^2 a bowl.
    """
    t = 2 * np.pi * np.arange(40) / 40
    radius = np.where(np.arange(40) % 2, 1.0, 2.0)
    for name, height, r, shape_number, product in (
        ("saddle", 0.5 * np.cos(2 * t), np.ones(40), 2, -1), ("bowl", 0.3 * radius**2, radius, 1, 1),
    ):  # fmt: skip
        output = tracked(instrument, {0: _ring(r * np.cos(t), r * np.sin(t), height)}, context=probe(1, 11))
        yield Answer(f"share of PC3 that the quadratic explains, {name}", 1, output.r2_quadratic[1, 0])
        yield Answer(f"shape of the {name} (1 bowl, 2 saddle)", shape_number, output.shape[1, 0])
        curvature = output.curvature[1, 0]
        yield Answer(f"ratio of its curvatures, {name}", product, curvature[1] / curvature[0], 1e-5)


def _ring(x: np.ndarray, y: np.ndarray, height: np.ndarray) -> Checkpoint:
    """Neurons that read cos and sin of frequency 2, and a direction in which no token has anything."""
    angle = 2 * np.pi * 2 * np.arange(11) / 11
    tokens = np.stack([np.cos(angle), np.sin(angle), np.zeros(11)], axis=1)
    weights = {"embed.W_E": tokens, "blocks.0.mlp.W_in": np.stack([x, y, height])}
    model = shape(d_model=3, d_mlp=len(x), d_vocab=11)
    return Checkpoint(0, model, {name: weight.astype(np.float32) for name, weight in weights.items()})


cases = (groups_of_an_exact_adder, rings_that_are_bent)
