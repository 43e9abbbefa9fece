"""A circuit whose weights lie on every grid."""

from collections.abc import Iterator

from miscope.calibration.models import Induction, through_the_model
from miscope.instruments.quantization_sensitivity.measure import instrument
from miscope.plugin import Answer

INDUCTION = Induction()


def weights_on_the_grid() -> Iterator[Answer]:
    """An induction circuit whose weights are zeros and one other number in each matrix: every grid has both.

    Source: by construction.
    """
    sensitivity = through_the_model(instrument, INDUCTION.checkpoint(), INDUCTION.family.context(0))
    yield Answer("largest error of rounding", 0, sensitivity.error.max(), 1e-6)
    for i, bits in enumerate(sensitivity.bits):
        yield Answer(f"test loss with all at {bits} bits", INDUCTION.loss, sensitivity.test_loss[-1, i], 1e-4)
        yield Answer(f"test accuracy with all at {bits} bits", 1, sensitivity.test_accuracy[-1, i])


cases = (weights_on_the_grid,)
