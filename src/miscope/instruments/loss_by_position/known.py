"""Positions of which it is known what they cost."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from miscope.calibration.models import Induction, on_planted, probe, shape, through_the_model
from miscope.instruments.loss_by_position.measure import instrument
from miscope.plugin import Answer

INDUCTION = Induction()


def positions_of_a_built_circuit() -> Iterator[Answer]:
    """An induction circuit that has the same loss wherever it is asked.

    Source: log(1 + 15 exp(-4)), by construction; a loss that is even over positions has the score 0.
    """
    measured = through_the_model(instrument, INDUCTION.checkpoint(), INDUCTION.family.context(0))
    yield Answer("largest loss of a position", INDUCTION.loss, np.nanmax(measured.test_loss), 1e-5)
    yield Answer("in-context-learning score", 0, measured.score, 1e-5)


def positions_that_help() -> Iterator[Answer]:
    """Twenty positions of which the right answer has 0, 0.2, ... 3.8 logits more than the other.

    Source: log(1 + exp(-m)) at the last two positions less the first two, by arithmetic.
    """
    n, margin = 20, 0.2 * np.arange(20)
    following = np.zeros((4, n), dtype=np.int64)
    inputs = replace(probe(4).probe, tokens=following, is_train=np.arange(4) < 2, following=following)
    logits = np.stack([np.tile(margin, (4, 1)), np.zeros((4, n))], axis=-1)
    measured = on_planted(instrument, shape(d_vocab_out=2), replace(probe(4), probe=inputs), logits=logits)
    loss = np.log1p(np.exp(-margin))
    yield Answer("in-context-learning score", loss[-2:].mean() - loss[:2].mean(), measured.score)
    yield Answer("largest error of a position's loss", 0, np.abs(measured.test_loss - loss).max())


cases = (positions_of_a_built_circuit, positions_that_help)
