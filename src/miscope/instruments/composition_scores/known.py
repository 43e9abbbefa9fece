"""Heads that were built to read what another writes."""

from collections.abc import Iterator

import numpy as np

from miscope.calibration.models import Induction, probe, shape, through_the_model
from miscope.instruments.composition_scores.measure import instrument
from miscope.plugin import Answer, Checkpoint

BUILT = Induction()


def composition_of_a_built_circuit() -> Iterator[Answer]:
    """An induction circuit of zeros and ones: the later head's keys read what the shift head writes, and nothing else.

    Source: Elhage et al. 2021, A Mathematical Framework for Transformer Circuits (scores, random baseline). Both
    circuits are partial identities in v directions, so their product has sqrt(v) and K-composition is 1 / sqrt(v).
    """
    measured = through_the_model(instrument, BUILT.checkpoint(), BUILT.family.context(0))
    q, k, v = measured.score[:, 0, 0, 1, 0]
    yield Answer("K-composition", 1 / np.sqrt(BUILT.model.d_vocab), k)
    yield Answer("Q-composition", 0, q)
    yield Answer("V-composition", 0, v)
    mean_square = measured.chance**2 + measured.chance_std**2
    yield Answer("mean square of chance, times d_model", 1, mean_square * BUILT.model.d_model, 0.05)


def composition_of_one_direction() -> Iterator[Answer]:
    """Two heads of one direction each, the later reading what the earlier writes.

    Source: Elhage et al. 2021, A Mathematical Framework for Transformer Circuits; 1 is the largest score there is.
    """
    axes = np.eye(4, dtype=np.float32)
    made = {"Q": axes[:, [0]], "K": axes[:, [1]], "V": axes[:, [2]], "O": axes[[3]]}
    later = {"Q": axes[:, [3]], "K": axes[:, [1]], "V": axes[:, [3]], "O": axes[[3]]}
    weights = {f"blocks.{i}.attn.W_{name}": w[None] for i, head in enumerate((made, later)) for name, w in head.items()}
    measured = through_the_model(instrument, Checkpoint(0, shape(n_layers=2, d_head=1), weights), probe(1))
    for name, expected, score in zip("QKV", (1, 0, 1), measured.score[:, 0, 0, 1, 0], strict=True):
        yield Answer(f"{name}-composition", expected, score)


cases = (composition_of_a_built_circuit, composition_of_one_direction)
