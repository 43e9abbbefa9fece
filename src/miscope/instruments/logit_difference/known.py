"""A circuit that was built to lead by 4 logits."""

from collections.abc import Iterator

import numpy as np

from miscope.calibration.models import Induction, through_the_model
from miscope.instruments.logit_difference.measure import instrument
from miscope.plugin import Answer

INDUCTION = Induction()


def difference_of_a_built_circuit() -> Iterator[Answer]:
    """An induction circuit that gives the right answer 4 logits more than any other of 16.

    Source: by construction.
    """
    measured = through_the_model(instrument, INDUCTION.checkpoint(), INDUCTION.family.context(0))
    e = np.exp(INDUCTION.gain)
    yield Answer("mean difference to the distractor", INDUCTION.gain, measured.test_mean, 1e-5)
    yield Answer("its spread over inputs", 0, measured.test_std, 1e-5)
    yield Answer("probability of the two together", (e + 1) / (e + 15), measured.test_mass, 1e-5)


cases = (difference_of_a_built_circuit,)
