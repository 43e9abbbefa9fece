"""Estimates of the local learning coefficient, held against that of the untrained network."""

from math import hypot

from miscope.analyzers.local_learning_coefficient import LocalLearningCoefficient
from miscope.core import Artifact
from miscope.maths.null_distributions import multiple_of_noise
from miscope.views.shared import nulls

RAN_AWAY = "the chains ran away: set a shorter `step_size`"


def against_untrained(what: str, coefficient: Artifact[LocalLearningCoefficient], step: int) -> str:
    """The verdict on the estimate of one step: is it above the untrained network's by more than both errors?

    An estimate in doubt gets none. The untrained network's own mostly is, since it is at no minimum, and counts.
    """
    start, output = coefficient[coefficient.steps[0]], coefficient[step]
    if coefficient.steps[0] != 0:
        return nulls.none(nulls.NO_START)
    if start.estimate is None or start.standard_error is None:
        return nulls.none(f"at step 0 {RAN_AWAY}")
    if output.estimate is None or output.standard_error is None or output.doubts:
        return nulls.none(f"the estimate of step {step:,} is in doubt")
    error = multiple_of_noise(len(output.chain) - 1) * hypot(start.standard_error, output.standard_error)
    source = "the untrained network, at the 99 % end of the chains' errors"
    return nulls.against(what, output.estimate, start.estimate + error, source)
