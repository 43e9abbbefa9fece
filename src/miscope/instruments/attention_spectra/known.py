"""A head of waves of known frequency and phase."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from miscope.calibration.models import probe, shape, through_the_model
from miscope.instruments.attention_spectra.measure import instrument
from miscope.plugin import Answer, Checkpoint, Probe


def circles_in_a_head() -> Iterator[Answer]:
    """Queries and keys on one circle of frequency 3, the query ahead by a phase; values at 4 and 6, twice as large.

    Source: a score of the difference of two tokens, by arithmetic.
    """
    p, phase = 13, 0.7
    x = 2 * np.pi * np.arange(p) / p
    parts = {
        "W_Q": (np.cos(3 * x + phase), np.sin(3 * x + phase)),
        "W_K": (np.cos(3 * x), np.sin(3 * x)),
        "W_V": (2 * np.cos(4 * x) + 9, np.sin(6 * x)),
    }
    made = {f"blocks.0.attn.{name}": np.stack(waves, axis=1)[None] for name, waves in parts.items()}
    checkpoint = Checkpoint(0, shape(d_model=p, d_head=2, d_vocab=p, d_vocab_out=p), {"embed.W_E": np.eye(p)} | made)
    inputs = Probe(np.array([[0], [1]]), np.zeros(2, dtype=np.int64), np.ones(2, dtype=bool))
    measured = through_the_model(instrument, checkpoint, replace(probe(2, p), probe=inputs))
    yield Answer("share of QK at frequency 3", 1, measured.qk_share[0, 0, 2])
    yield Answer("alignment: the cosine of the phase", np.cos(phase), measured.qk_alignment[0, 0, 2])
    yield Answer("variance of cos(w (x - y)) / sqrt(2)", 0.25, measured.qk_energy[0, 0])
    yield Answer("share of values at frequency 4", 0.8, measured.value_share[0, 0, 3])
    yield Answer("share of values at frequency 6", 0.2, measured.value_share[0, 0, 5])


cases = (circles_in_a_head,)
