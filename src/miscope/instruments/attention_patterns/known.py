"""Heads that look where they were built to look."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from miscope.calibration.models import Induction, on_planted, probe, shape, through_the_model
from miscope.instruments.attention_patterns.measure import instrument
from miscope.plugin import Answer, Probe

BUILT = Induction()


def patterns_of_a_built_circuit() -> Iterator[Answer]:
    """An induction circuit of zeros and ones: one head looks at the position before, its neighbour evenly.

    Source: even causal attention of position i is 1 / (i + 1), by arithmetic.
    """
    measured = through_the_model(instrument, BUILT.checkpoint(), BUILT.family.context(0))
    rows = np.arange(1, BUILT.model.n_ctx)
    before = measured.mean[0, 0, rows, rows - 1]
    yield Answer("least attention of the shift head to the position before", 1, before.min())
    even = np.tri(len(rows) + 1) / (np.arange(len(rows) + 1)[:, None] + 1)
    yield Answer("largest error of the even head", 0, np.abs(measured.mean[0, 1] - even).max())
    yield Answer("spread of the even head over the probe", 0, measured.std[0, 1].max())


def waves_in_a_pattern() -> Iterator[Answer]:
    """Attention from `=` to a that swings with cos(w 5 a), and to b with the opposite.

    Source: a map of one frequency has all of its variance there; by construction.
    """
    p = 13
    a, b = np.divmod(np.arange(p * p), p)
    swing = 0.2 * np.cos(2 * np.pi * 5 * a / p)
    pattern = np.stack([0.4 + swing, 0.4 - swing, np.full(p * p, 0.2)], axis=-1)[:, None, None]
    pattern = np.broadcast_to(pattern, (p * p, 1, 3, 3))
    inputs = Probe(np.stack([a, b, np.full_like(a, p)], axis=1), (a + b) % p, a < 5)
    context = replace(probe(p * p, p), probe=inputs, answer_position=2, grid=(p, p))
    measured = on_planted(instrument, shape(n_ctx=3, is_causal=False), context, **{"attn.hook_pattern": pattern})
    yield Answer("variance fraction of a at frequency 5", 1, measured.map_fraction[0, 0, 0, 4])
    yield Answer("standard deviation over the probe", 0.2 / np.sqrt(2), measured.std[0, 0, 2, 0])


cases = (patterns_of_a_built_circuit, waves_in_a_pattern)
