"""Weights of known spectra, and paths of known shape."""

from collections.abc import Iterator

import numpy as np

from miscope.calibration.case import Answer, Case
from miscope.calibration.models import Addition, probe, run_of, shape, through_the_model, tracked
from miscope.core import Checkpoint

ADDITION = Addition()
W_IN = "blocks.0.mlp.W_in"


def matrices_of_known_spectrum() -> Iterator[Answer]:
    """A random rotation times the singular values 4, 4, 2, 1, 1 times another; a matrix of rank one.

    Source: Roy and Vetterli 2007, EUSIPCO, definition 1 (effective rank); Gao et al. 2017, doi:10.1101/214262.
    """
    rng, s = np.random.default_rng(0), np.array([4.0, 4, 2, 1, 1])
    left, right = (np.linalg.qr(rng.normal(size=(n, 5)))[0] for n in (9, 7))
    weights = {"embed.W_E": (left * s) @ right.T, W_IN: np.outer(np.arange(1, 10), np.ones(7))}
    found = through_the_model("singular_values", Checkpoint(0, shape(), weights), probe(1))
    q = s / s.sum()
    yield Answer("participation ratio: 12^2 / 38", 144 / 38, found.participation_ratio[0])
    yield Answer("effective rank: exp of the entropy", np.exp(-(q * np.log(q)).sum()), found.effective_rank[0])
    yield Answer("spectral norm", 4, found.spectral_norm[0])
    yield Answer("Frobenius norm", np.sqrt(38), found.frobenius_norm[0])
    yield Answer("participation ratio of rank one", 1, found.participation_ratio[1])
    yield Answer("effective rank of rank one", 1, found.effective_rank[1], 1e-5)


def planted_frequencies() -> Iterator[Answer]:
    """An embedding of cosines and sines of 3 and 7 modulo 23, with a constant and a large row for `=`.

    Source: Nanda et al. 2023, arXiv:2301.05217, section 4.1; the Gini of n of N that are
    equal is 1 - n / N.
    """
    p = 23
    x = 2 * np.pi * np.arange(p) / p
    waves = [f(k * x) for k in (3, 7) for f in (np.cos, np.sin)]
    weights = {"embed.W_E": np.vstack([np.stack([*waves, np.full(p, 5.0)], axis=1), np.full(5, 100.0)])}
    found = through_the_model("dominant_frequencies", Checkpoint(0, shape(), weights), probe(1, p))
    yield Answer("share of frequency 3", 0.5, found.power[2])
    yield Answer("share of frequency 7", 0.5, found.power[6])
    yield Answer("dominant frequencies", 2, found.is_dominant.sum())
    yield Answer("Gini coefficient", 1 - 2 / 11, found.gini)
    yield Answer("inverse participation ratio", 0.5, found.inverse_participation_ratio)
    yield Answer("norm of the constant's row", 5 * np.sqrt(p), found.row_norm[0], 1e-5)


def frequencies_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31: embedding and unembedding hold 3, 7 and 12 alike.

    Source: see `calibration.models.Addition`.
    """
    found = through_the_model("dominant_frequencies", ADDITION.checkpoint(), ADDITION.context)
    at = np.array(ADDITION.frequencies) - 1
    yield Answer("least share of the three in the embedding", 1 / 3, found.power[at].min())
    yield Answer("least share of the three in the unembedding", 1 / 3, found.unembedding_power[at].min())


def noise_in_the_embedding() -> Iterator[Answer]:
    """An embedding of noise, 113 tokens in 128 dimensions.

    Source: every direction has the same energy in the mean; the largest of 56 is below three times that.
    """
    weights = {"embed.W_E": np.random.default_rng(0).normal(size=(114, 128))}
    found = through_the_model("dominant_frequencies", Checkpoint(0, shape(), weights), probe(1, 113))
    yield Answer("dominant frequencies", 0, found.is_dominant.sum())
    yield Answer("inverse participation ratio, over 1 / 56", 1, found.inverse_participation_ratio * 56, 0.02)


def weights_that_grow() -> Iterator[Answer]:
    """A matrix of norm 5 that grows by a fifth of itself each step.

    Source: by arithmetic; Barak et al. 2022, arXiv:2207.08799 (the largest change of one weight).
    """
    first = np.array([[3.0, 0.0], [0.0, 4.0]])
    found = tracked(
        "weight_norms", run_of(shape(), W_IN, np.stack([first * (1 + t / 5) for t in range(6)])), context=probe(1)
    )
    yield Answer("norm at the end", 10, found.norm[0, -1], 1e-5)
    yield Answer("distance from the start", 5, found.distance[0, -1], 1e-5)
    yield Answer("largest change of one weight", 4, found.largest_change[0, -1], 1e-5)


def a_random_walk() -> Iterator[Answer]:
    """120 checkpoints of 20,000 weights that move by noise alone.

    Source: Antognini and Sohl-Dickstein 2018, arXiv:1806.08805, section 3: shares 6 / (pi k)^2 = .608, .152, .068.
    """
    rng = np.random.default_rng(0)
    path = rng.normal(size=(120, 20_000), scale=0.01).astype(np.float32).cumsum(axis=0)[:, None]
    found = tracked("parameter_trajectory", run_of(shape(), W_IN, path), context=probe(1))
    for k, share in enumerate(found.explained_variance[0, :3], start=1):
        yield Answer(f"share of component {k}", 6 / (np.pi * k) ** 2, share, 0.01)
    for k, share in enumerate((0.608, 0.152, 0.068)):
        yield Answer(f"share of a long walk, component {k + 1}", share, found.random_walk_variance[k], 5e-4)
    t = np.arange(120)
    for k in (1, 2, 3):
        cosine = np.cos(np.pi * k * (t + 0.5) / 120)
        r = abs(np.corrcoef(found.coordinate[0, :, k - 1], cosine)[0, 1])
        yield Answer(f"correlation of component {k} with its cosine", 1, r, 2e-3)
    yield Answer("mean cosine of successive moves", 0, found.turning[0].mean(), 0.01)


def a_straight_line_and_a_circle() -> Iterator[Answer]:
    """A path that goes straight on by 5 a step; one that goes once around a circle of radius 2 in 100 steps.

    Source: geometry of the line and of the regular polygon.
    """
    steps = np.arange(21)
    line = tracked(
        "parameter_trajectory", run_of(shape(), W_IN, steps[:, None, None] * np.array([[3.0, 4.0]])), context=probe(1)
    )
    yield Answer("first share of the line", 1, line.explained_variance[0, 0])
    yield Answer("speed on the line", 5, line.speed[0].mean(), 1e-5)
    yield Answer("least cosine of its turning", 1, line.turning[0].min())
    yield Answer("distance at its end", 100, line.distance[0, -1], 1e-4)
    t = 2 * np.pi * np.arange(101) / 100
    path = 2 * np.stack([np.cos(t), np.sin(t)], axis=1)[:, None]
    circle = tracked("parameter_trajectory", run_of(shape(), W_IN, path), context=probe(1))
    yield Answer("first share of the circle", 0.5, circle.explained_variance[0, 0], 0.01)
    yield Answer("speed on the circle: a chord", 4 * np.sin(np.pi / 100), circle.speed[0].mean(), 1e-5)
    yield Answer("cosine of its turning", np.cos(2 * np.pi / 100), circle.turning[0].mean(), 1e-4)


cases = (
    Case("singular_values", matrices_of_known_spectrum),
    Case("dominant_frequencies", planted_frequencies),
    Case("dominant_frequencies", frequencies_of_an_exact_adder),
    Case("dominant_frequencies", noise_in_the_embedding),
    Case("weight_norms", weights_that_grow),
    Case("parameter_trajectory", a_random_walk),
    Case("parameter_trajectory", a_straight_line_and_a_circle),
)
