"""A circuit whose residual stream holds what it was built to hold."""

from collections.abc import Iterator

from miscope.calibration.models import Induction, through_the_model
from miscope.instruments.linear_probes.measure import instrument
from miscope.plugin import Answer

INDUCTION = Induction()


def probes_of_a_built_circuit() -> Iterator[Answer]:
    """An induction circuit: after its first layer the stream holds the token before, and until then it does not.

    Source: by construction; a one-hot label is linear, and shuffled labels are not to be found.
    """
    measured = through_the_model(instrument, INDUCTION.checkpoint(), INDUCTION.family.context(0))
    before = measured.latent.index("previous token")
    yield Answer("accuracy for the token before, after layer 0", 1, measured.accuracy[1, before])
    yield Answer("the same in the embedding: about 1 of 16", 1 / 15, measured.accuracy[0, before], 0.05)
    yield Answer("the same for shuffled labels", 1 / 16, measured.shuffled[1, before], 0.05)


cases = (probes_of_a_built_circuit,)
