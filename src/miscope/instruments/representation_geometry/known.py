"""Answers laid out by hand on circles, and those of an exact adder."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from miscope.calibration.models import Addition, on_planted, probe, shape, through_the_model
from miscope.instruments.representation_geometry.measure import instrument
from miscope.plugin import Answer, Probe

ADDITION = Addition()


def _laid_out(values: np.ndarray, targets: np.ndarray, p: int) -> Any:
    n = len(targets)
    inputs = Probe(np.zeros((n, 1), dtype=np.int64), targets, np.ones(n, dtype=bool))
    return on_planted(instrument, shape(), replace(probe(n, p), probe=inputs), hook_resid_post=values)


def equal_circles() -> Iterator[Answer]:
    """Three answers whose inputs fill one, two and three circles of equal size, 60 inputs each.

    Source: g equal circles have 2 g equal eigenvalues, so a participation ratio of 2 g (Gao et al. 2017).
    """
    t = 2 * np.pi * np.arange(60) / 60
    circles = np.concatenate([[np.cos(k * t), np.sin(k * t)] for k in (1, 2, 3)]).T  # [input, 6]
    values = np.concatenate([circles * (np.arange(6) < 2 * g) + 10 * g for g in (1, 2, 3)])
    geometry = _laid_out(values, np.repeat(np.arange(3), 60), 5)
    for g in (1, 2, 3):
        yield Answer(f"participation ratio of {g} circles", 2 * g, geometry.participation_ratio[0, g - 1], 1e-4)
        yield Answer(f"radius of {g} circles", np.sqrt(g), geometry.radius[0, g - 1], 1e-4)


def rings_of_centroids() -> Iterator[Answer]:
    """Answers r at cos and sin of w k r for published sets of key frequencies: how near do two answers come?

    Source: geometry; the least over r of sqrt(sum of 2 - 2 cos(w k r)) is 1.5215, 1.3705 and 0.9578.
    """
    sets = ((113, (9, 33, 38, 55), 1.5215), (59, (5, 15, 21), 1.3705), (109, (4, 14, 27), 0.9578))
    for p, keys, least in sets:
        answer = np.repeat(np.arange(p), 2)
        x = 2 * np.pi * answer[:, None] * np.array(keys) / p
        geometry = _laid_out(np.concatenate([np.cos(x), np.sin(x)], axis=1), answer, p)
        yield Answer(f"least distance modulo {p}", least, geometry.least_distance[0], 5e-5)
        yield Answer(f"spread modulo {p}", np.sqrt(len(keys)), geometry.spread[0], 1e-5)
        yield Answer(f"share of each key modulo {p}", 1 / len(keys), geometry.power[0, np.array(keys) - 1].min(), 1e-5)


def clouds_on_a_ring() -> Iterator[Answer]:
    """Thirteen answers on a circle of frequency 3, the inputs of each on a circle of half that size elsewhere.

    Source: geometry; Fisher 1936 (the criterion).
    """
    p, each = 13, 8
    answer = np.repeat(np.arange(p), each)
    around, inner = 2 * np.pi * 3 * answer / p, 2 * np.pi * np.tile(np.arange(each), p) / each
    values = np.stack([np.cos(around), np.sin(around), 0.5 * np.cos(inner), 0.5 * np.sin(inner)], axis=1)
    geometry = _laid_out(values, answer, p)
    neighbours = (2 * np.sin(np.pi / p)) ** 2 / 0.5
    yield Answer("signal to noise: 1 / 0.25", 4, geometry.snr[0], 1e-5)
    yield Answer("mean Fisher criterion", 2 * p / (p - 1) / 0.5, geometry.fisher_mean[0], 1e-5)
    yield Answer("least Fisher criterion: neighbours", neighbours, geometry.fisher_min[0], 1e-5)
    yield Answer("circularity", 1, geometry.circularity[0], 1e-5)
    yield Answer("frequency of the ring", 3, geometry.ring_frequency[0])
    yield Answer("its alignment", 1, geometry.ring_alignment[0], 1e-5)


def geometry_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31: what its MLP writes for an answer lies on rings of 3, 7, 12, by gains 3, 2, 1.

    Source: see `calibration.models.Addition`; energies are squares of gains, and |cos| is half of a square's mean.
    """
    geometry = through_the_model(instrument, ADDITION.checkpoint(), ADDITION.context)
    at = geometry.site.index("blocks.0.hook_mlp_out")
    mean, gains = ADDITION.mean_size, np.array(ADDITION.gains) ** 2
    for k, gain in zip(ADDITION.frequencies, gains, strict=True):
        yield Answer(f"share of frequency {k} in the centroids", gain / gains.sum(), geometry.power[at, k - 1], 1e-4)
    expected = mean**2 / (0.5 - mean**2)
    yield Answer("signal to noise: mean of |cos| squared over its variance", expected, geometry.snr[at], 0.01)
    resid = geometry.site.index("blocks.0.hook_resid_pre")
    yield Answer("spread of the answers before the layer, at `=`", 0, geometry.spread[resid])


cases = (equal_circles, rings_of_centroids, clouds_on_a_ring, geometry_of_an_exact_adder)
