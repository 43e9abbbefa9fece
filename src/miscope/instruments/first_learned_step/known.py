"""Inputs whose record of right and wrong answers is drawn by hand."""

from collections.abc import Iterator

import numpy as np

from miscope.calibration.models import on_planted, probe, shape, tracked
from miscope.instruments.first_learned_step.measure import instrument
from miscope.instruments.losses.measure import instrument as losses
from miscope.plugin import Answer


def inputs_that_are_learned() -> Iterator[Answer]:
    """Four inputs at steps 0, 10, ... 50: one always right, one from 20, one in turn, one at the end.

    Source: by counting; Toneva et al. 2019, arXiv:1812.05159, section 3.1 (forgetting events).
    """
    right = np.array([[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], [1, 0, 1, 0, 1, 0], [0, 0, 0, 0, 1, 1]]).T
    logits = np.eye(5)[1 - right]  # the right answer is 0
    path = {10 * i: on_planted(losses, shape(), probe(4), logits=x) for i, x in enumerate(logits)}
    learned = tracked(instrument, path, context=probe(4))
    yield Answer("first learned step of the first", 0, learned.learned_step[0])
    yield Answer("first learned step of the second", 20, learned.learned_step[1])
    yield Answer("inputs that are not learned", 2, np.isnan(learned.learned_step).sum())
    yield Answer("times that the third is forgotten", 3, learned.n_forgotten[2])
    yield Answer("times that the others are", 0, learned.n_forgotten[[0, 1, 3]].sum())


cases = (inputs_that_are_learned,)
