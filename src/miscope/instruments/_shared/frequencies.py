"""Whether what is at one frequency is more than chance: of any function of a token, some frequency is the strongest."""

import numpy as np
from jaxtyping import Float

from miscope.instrument import Null, in_words
from miscope.maths.null_distributions import chance_of_share, count, largest_share

TUNED = "neurons tuned to one frequency"
RANDOM = "99 % of random functions of a token"


def of_neurons(statistic: str, shares: Float[np.ndarray, "*neuron"], n_frequencies: int) -> Null:
    """The null of the median of neurons' shares at their best frequency: what a single one may have."""
    return Null(statistic, float(np.median(shares)), largest_share(n_frequencies), RANDOM, "matched", unit="share")


def of_specialised(statistic: str, n: int, n_neurons: int, level: float, n_frequencies: int) -> Null:
    """The null of how many of n_neurons have at least `level` of their variance at one frequency."""
    statistic = f"{statistic} (at least {in_words(level, 'share')})"
    return of_count(statistic, n, n_neurons, chance_of_share(n_frequencies, level))


def of_count(statistic: str, n: int, n_neurons: int, probability: float) -> Null:
    """The null of how many of n_neurons there are that each random one is with that probability."""
    source = f"99 % of sets of {n_neurons:,} random ones"
    return Null(statistic, n, count(n_neurons, probability), source, "matched")
