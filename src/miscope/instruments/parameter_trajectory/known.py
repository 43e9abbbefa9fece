"""Paths of known shape."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from miscope.calibration.models import probe, run_of, shape, tracked
from miscope.instruments.parameter_trajectory.measure import instrument
from miscope.plugin import Answer


def a_random_walk() -> Iterator[Answer]:
    """120 checkpoints of 20,000 weights that move by noise alone.

    Source: Antognini and Sohl-Dickstein 2018, arXiv:1806.08805, section 3: shares 6 / (pi k)^2 = .608, .152, .068.
    """
    walk = _measured(np.random.default_rng(0).normal(size=(120, 20_000), scale=0.01).astype(np.float32).cumsum(axis=0))
    for k, share in enumerate(walk.explained_variance[0, :3], start=1):
        yield Answer(f"share of component {k}", 6 / (np.pi * k) ** 2, share, 0.01)
    for k, share in enumerate((0.608, 0.152, 0.068)):
        yield Answer(f"share of a long walk, component {k + 1}", share, walk.random_walk_variance[k], 5e-4)
    t = np.arange(120)
    for k in (1, 2, 3):
        cosine = np.cos(np.pi * k * (t + 0.5) / 120)
        r = abs(np.corrcoef(walk.coordinate[0, :, k - 1], cosine)[0, 1])
        yield Answer(f"correlation of component {k} with its cosine", 1, r, 2e-3)
    yield Answer("mean cosine of successive moves", 0, walk.turning[0].mean(), 0.01)


def a_straight_line_and_a_circle() -> Iterator[Answer]:
    """A path that goes straight on by 5 a step; one that goes once around a circle of radius 2 in 100 steps.

    Source: geometry of the line and of the regular polygon.
    """
    line = _measured(np.outer(np.arange(21), [3.0, 4.0]))
    yield Answer("first share of the line", 1, line.explained_variance[0, 0])
    yield Answer("speed on the line", 5, line.speed[0].mean(), 1e-5)
    yield Answer("least cosine of its turning", 1, line.turning[0].min())
    yield Answer("distance at its end", 100, line.distance[0, -1], 1e-4)
    t = 2 * np.pi * np.arange(101) / 100
    circle = _measured(2 * np.stack([np.cos(t), np.sin(t)], axis=1))
    yield Answer("first share of the circle", 0.5, circle.explained_variance[0, 0], 0.01)
    yield Answer("speed on the circle: a chord", 4 * np.sin(np.pi / 100), circle.speed[0].mean(), 1e-5)
    yield Answer("cosine of its turning", np.cos(2 * np.pi / 100), circle.turning[0].mean(), 1e-4)


def _measured(path: Float[np.ndarray, "n weight"]) -> Any:
    return tracked(instrument, run_of(shape(), "blocks.0.mlp.W_in", path[:, None]), context=probe(1))


cases = (a_random_walk, a_straight_line_and_a_circle)
