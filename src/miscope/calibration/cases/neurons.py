"""Neurons whose frequencies and phases are planted, alone and in a network that adds exactly."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from miscope.analyzers.neuron_spectra import NeuronSpectra
from miscope.calibration.case import Answer, Case
from miscope.calibration.models import Addition, on_planted, probe, shape, through_the_model, tracked
from miscope.core import Checkpoint

ADDITION = Addition()


def activations_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31: each neuron is relu(cos(w a + phi) + cos(w b + phi)).

    Source: see `calibration.models.Addition`.
    """
    found = through_the_model("neuron_activations", ADDITION.checkpoint(), ADDITION.context).activation[0]
    a, b = np.divmod(np.arange(ADDITION.p**2), ADDITION.p)
    w = 2 * np.pi * np.repeat(ADDITION.frequencies, ADDITION.n_phases)[:, None] / ADDITION.p
    phi = np.tile(ADDITION.phases, len(ADDITION.frequencies))[:, None]
    expected = np.maximum(np.cos(w * a + phi) + np.cos(w * b + phi), 0)
    yield Answer("largest error of 303 neurons on 961 pairs", 0, np.abs(found - expected).max(), 1e-5)


def phases_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31: neurons of frequency k read phase phi and write 2 phi.

    Source: Gromov 2023, arXiv:2301.02679, section 3 (phases of the exact solution).
    """
    found = through_the_model("neuron_fourier", ADDITION.checkpoint(), ADDITION.context)
    planted = np.repeat(ADDITION.frequencies, ADDITION.n_phases)
    yield Answer("neurons that read their planted frequency", 303, (found.read_frequency[0] == planted).sum())
    yield Answer("neurons that write it", 303, (found.write_frequency[0] == planted).sum())
    yield Answer("least share of a neuron's energy at it", 1, found.read_share.min())
    yield Answer("inverse participation ratio", 1, found.read_concentration.mean())
    yield Answer("largest |2 phi - psi| in radians", 0, found.misalignment.max(), 1e-5)
    yield Answer("mean amplitude that is read", 3, found.read_amplitude.mean(), 1e-5)


def waves_over_the_grid() -> Iterator[Answer]:
    """Neurons 2 cos(w 4 a) cos(w 4 b) + cos(w 2 a) cos(w 2 b), cos(w 6 a) + cos(w 6 b), and cos(w 4 a) cos(w 5 b).

    Source: Nanda et al. 2023, arXiv:2301.05217, section 4.2 (fraction of variance by frequency); squares of amplitudes.
    """
    p = 13
    x = 2 * np.pi * np.arange(p) / p
    wave = lambda k, m: np.cos(k * x)[:, None] * np.cos(m * x)  # noqa: E731
    maps = (2 * wave(4, 4) + wave(2, 2), wave(6, 0) + wave(0, 6), wave(4, 5))
    post = np.stack([one.ravel() for one in maps], axis=1)
    context = replace(probe(p * p, p), grid=(p, p))
    found = on_planted("neuron_spectra", shape(d_mlp=3), context, **{"mlp.hook_post": post})
    yield Answer("fraction of the first at frequency 4", 0.8, found.peak_fraction[0, 0])
    yield Answer("fraction of the first at frequency 2", 0.2, found.low_fraction[0, 0])
    yield Answer("fraction of the second at frequency 6", 1, found.fraction[0, 1, 5])
    yield Answer("largest fraction of a product of two frequencies", 0, found.fraction[0, 2].max())
    yield Answer("neurons specialised at 0.7", 2, found.n_specialised[0, 0])


def noise_over_the_grid() -> Iterator[Answer]:
    """Two hundred neurons of noise, modulo 31.

    Source: a frequency has 8 of the p^2 - 1 cells, so 8 / (p^2 - 1) of the variance of noise in the mean.
    """
    post = np.random.default_rng(0).normal(size=(31 * 31, 200))
    context = replace(probe(31 * 31, 31), grid=(31, 31))
    found = on_planted("neuron_spectra", shape(d_mlp=200), context, **{"mlp.hook_post": post})
    yield Answer("mean fraction of a frequency", 8 / 960, found.fraction.mean(), 2e-4)
    yield Answer("neurons specialised at 0.7", 0, found.n_specialised[0, 0])


STEPS = (0, 100, 250, 1000)


def neurons_that_commit_and_switch() -> Iterator[Answer]:
    """Four neurons at steps 0, 100, 250, 1000: one rests, one switches thrice, one commits at 250, one has nothing.

    Source: by counting.
    """
    frequency = np.array([[5, 5, 4, 7], [5, 9, 4, 7], [5, 5, 8, 7], [5, 6, 8, 7]])
    fraction = np.array([[0.9, 0.5, 0.9, 0.1], [0.9, 0.5, 0.9, 0.1], [0.9, 0.5, 0.9, 0.1], [0.9, 0.8, 0.9, 0.1]])
    path = {s: _spectrum(k, f) for s, k, f in zip(STEPS, frequency, fraction, strict=True)}
    found = tracked("neuron_dynamics", path, context=probe(1, 41))
    yield Answer("commitment of the one that rests", 0, found.commitment_step[0, 0])
    yield Answer("commitment of the second", 1000, found.commitment_step[0, 1])
    yield Answer("commitment of the third", 250, found.commitment_step[0, 2])
    yield Answer("neurons that never commit", 1, np.isnan(found.commitment_step).sum())
    yield Answer("switches of the second", 3, found.n_switches[0, 1])
    yield Answer("switches of all", 4, found.n_switches.sum())
    yield Answer("transient frequencies", 1, found.is_transient.sum())
    yield Answer("the transient frequency", 4, 1 + found.is_transient[0].argmax())
    yield Answer("concentration at the end: three frequencies alike", 1 / 3, found.concentration[-1, 0])


def _spectrum(frequency: np.ndarray, fraction: np.ndarray) -> NeuronSpectra:
    peak = fraction[None].astype(np.float32)
    return NeuronSpectra(
        fraction=np.zeros((1, len(frequency), 20), dtype=np.float16), peak_frequency=frequency[None].astype(np.int32),
        peak_fraction=peak, low_fraction=np.zeros_like(peak), level=np.array([0.7, 0.9]),
        n_specialised=np.array([[0, 0]]),
    )  # fmt: skip


def groups_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31: the neurons of each frequency lie on a circle in weight space.

    Source: an even circle has two equal principal components and its radius as spread, by arithmetic.
    """
    found = tracked("neuron_groups", {0: ADDITION.checkpoint()}, context=ADDITION.context)
    yield Answer("groups beside that of all neurons", 3, (found.frequency > 0).sum())
    yield Answer("sum of their frequencies", sum(ADDITION.frequencies), found.frequency.sum())
    yield Answer("largest error of their sizes", 0, np.abs(found.size[1:] - ADDITION.n_phases).max())
    yield Answer("largest error of a first share", 0, np.abs(found.share[1:, 0, 0] - 0.5).max())
    yield Answer("spread: the circle's radius", 1, found.spread[1:, 0].mean())
    yield Answer("groups that are not flat", 0, (found.shape[1:, 0] > 0).sum())


def rings_that_are_bent() -> Iterator[Answer]:
    """Forty neurons on a circle: bent up at two ends and down at the others; of two radii at two heights.

    Source: PC3 = cos(2 t) = x^2 - y^2 is a saddle, PC3 = r^2 = x^2 + y^2 a bowl.
    """
    t = 2 * np.pi * np.arange(40) / 40
    radius = np.where(np.arange(40) % 2, 1.0, 2.0)
    for name, height, r, shape_number, product in (
        ("saddle", 0.5 * np.cos(2 * t), np.ones(40), 2, -1), ("bowl", 0.3 * radius**2, radius, 1, 1),
    ):  # fmt: skip
        found = tracked("neuron_groups", {0: _ring(r * np.cos(t), r * np.sin(t), height)}, context=probe(1, 11))
        yield Answer(f"share of PC3 that the quadratic explains, {name}", 1, found.r2_quadratic[1, 0])
        yield Answer(f"shape of the {name} (1 bowl, 2 saddle)", shape_number, found.shape[1, 0])
        curvature = found.curvature[1, 0]
        yield Answer(f"ratio of its curvatures, {name}", product, curvature[1] / curvature[0], 1e-5)


def _ring(x: np.ndarray, y: np.ndarray, height: np.ndarray) -> Checkpoint:
    """Neurons that read cos and sin of frequency 2, and a direction in which no token has anything."""
    angle = 2 * np.pi * 2 * np.arange(11) / 11
    tokens = np.stack([np.cos(angle), np.sin(angle), np.zeros(11)], axis=1)
    weights = {"embed.W_E": tokens, "blocks.0.mlp.W_in": np.stack([x, y, height])}
    model = shape(d_model=3, d_mlp=len(x), d_vocab=11)
    return Checkpoint(0, model, {name: weight.astype(np.float32) for name, weight in weights.items()})


cases = (
    Case("neuron_activations", activations_of_an_exact_adder),
    Case("neuron_fourier", phases_of_an_exact_adder),
    Case("neuron_spectra", waves_over_the_grid),
    Case("neuron_spectra", noise_over_the_grid),
    Case("neuron_dynamics", neurons_that_commit_and_switch),
    Case("neuron_groups", groups_of_an_exact_adder),
    Case("neuron_groups", rings_that_are_bent),
)
