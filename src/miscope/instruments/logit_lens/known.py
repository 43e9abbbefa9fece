"""Circuits of which it is known where the answer is written."""

from collections.abc import Iterator

import numpy as np

from miscope.calibration.models import Addition, Induction, through_the_model
from miscope.instruments.logit_lens.measure import instrument
from miscope.plugin import Answer

INDUCTION, ADDITION = Induction(), Addition()


def lens_of_a_built_circuit() -> Iterator[Answer]:
    """An induction circuit whose second layer alone writes answers.

    Source: by construction; attributions add up to the difference between right answer and distractor.
    """
    measured = through_the_model(instrument, INDUCTION.checkpoint(), INDUCTION.family.context(0))
    chance = np.log(INDUCTION.model.d_vocab_out)
    for point, expected, loss in zip(measured.point, (chance, chance, INDUCTION.loss), measured.test_loss, strict=True):
        yield Answer(f"test loss {point} in nats", expected, loss, 1e-5)
    for component, expected, part in zip(measured.component, (0, 0, INDUCTION.gain), measured.attribution, strict=True):
        yield Answer(f"logits from {component}", expected, part, 1e-5)


def lens_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31: its MLP alone writes, the sum of gains times the mean of |cos|.

    Source: see `calibration.models.Addition`; the mean of |cos(w d / 2)| over d is 1 / (p sin(pi / 2p)).
    """
    measured = through_the_model(instrument, ADDITION.checkpoint(), ADDITION.context)
    expected = ADDITION.amplitude.sum() * ADDITION.mean_size
    for component, part, whole in zip(measured.component, measured.attribution, (0, 0, expected), strict=True):
        yield Answer(f"logits from {component}", whole, part, 1e-3 * expected)


cases = (lens_of_a_built_circuit, lens_of_an_exact_adder)
