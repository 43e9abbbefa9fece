"""A pizza, built by hand."""

from collections.abc import Iterator

from miscope.calibration.models import Addition, through_the_model
from miscope.instruments.circuit_style.measure import instrument
from miscope.plugin import Answer


def style_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31 after even attention: a pizza by construction.

    Source: Zhong et al. 2023, arXiv:2306.17844, section 4: both summands enter alike, and the right logit depends on
    their distance alone.
    """
    adder = Addition()
    style, total = through_the_model(instrument, adder.checkpoint(), adder.context), adder.amplitude.sum()
    yield Answer("gradient symmetry", 1, style.gradient_symmetry, 1e-5)
    yield Answer("distance irrelevance", 0, style.distance_irrelevance, 1e-3)
    yield Answer("right logit where a = b: the sum of amplitudes", total, style.logit_mean[0], 1e-3 * total)


cases = (style_of_an_exact_adder,)
