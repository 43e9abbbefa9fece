"""Whether what is at one frequency is more than chance: of any function of a token, some frequency is the strongest."""

import numpy as np

from miscope.analyzers.dominant_frequencies import DominantFrequencies
from miscope.maths.null_distributions import RARE, chance_of_share, count, largest_share, least_median_angle
from miscope.views.shared import nulls

TUNED = "neurons tuned to one frequency"
MEDIAN = "the median neuron's share at its best frequency"
RANDOM = "99 % of random functions of a token"


def of_embedding(output: DominantFrequencies) -> str:
    """The verdict on the largest share: whether it is the order of the tokens that makes it."""
    found, null = float(output.power.max()), output.chance_power
    return nulls.against("largest share of one frequency", found, null, "99 % of token orders", text=nulls.percent)


def of_neurons(what: str, shares: np.ndarray, n_frequencies: int) -> str:
    """The verdict on the median of neurons' shares at their best frequency, by what a single one may have."""
    return nulls.against(what, float(np.median(shares)), largest_share(n_frequencies), RANDOM, text=nulls.percent)


def of_specialised(what: str, n: int, n_neurons: int, level: float, n_frequencies: int) -> str:
    """The verdict on how many of n_neurons have at least `level` of their variance at one frequency."""
    null = count(n_neurons, chance_of_share(n_frequencies, level))
    return nulls.against(f"{what} (at least {nulls.percent(level)})", n, null, _random_sets(n_neurons))


def of_tuned(peak_fraction: np.ndarray, n_frequencies: int) -> str:
    """The verdict on how many neurons have a larger share at one frequency than 99 % of random ones."""
    level, n = largest_share(n_frequencies), peak_fraction.size
    found = int((peak_fraction > level).sum())
    what = f"neurons that end tuned to one frequency (above {nulls.percent(level)})"
    return nulls.against(what, found, count(n, RARE), _random_sets(n))


def of_phases(misalignment: np.ndarray | None) -> str:
    """The verdict on the median of the neurons' |2 phi - psi|, in radians; NaN: a neuron without a wave."""
    known = misalignment[~np.isnan(misalignment)] if misalignment is not None else np.zeros(0)
    found, null = (float(np.median(known)), least_median_angle(known.size)) if known.size else (np.nan, np.nan)
    source, text = "99 % of random phases", lambda angle: f"{nulls.number(np.degrees(angle))}°"
    return nulls.against("the median neuron's |2 phi - psi|", found, null, source, is_lower=True, text=text)


def _random_sets(n: int) -> str:
    return f"99 % of sets of {n:,} random ones"
