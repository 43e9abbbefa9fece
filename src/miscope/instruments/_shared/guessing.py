"""What guessing reaches: the best of all answers that do not look at the input, and luck on a finite sample."""

from statistics import NormalDist

import numpy as np
from jaxtyping import Bool

from miscope.core import Context, Probe
from miscope.instrument import Null
from miscope.maths.null_distributions import RARE, binomial_quantile

SOURCE = "99 % of guesses"
Inputs = Bool[np.ndarray, " batch"]
DIGITS = 2.0**-11  # of a probability that is stored as a half float, relative


def z_score(n_comparisons: int = 1) -> float:
    """The standard deviations that each of so many normal numbers stays below, all together with 99 % (Bonferroni)."""
    return NormalDist().inv_cdf(1 - RARE / n_comparisons)


def judged(probe: Probe) -> tuple[str, Inputs]:
    """The split that tells whether a network has learned: the test inputs, or where there are none all of them."""
    return ("test", ~probe.is_train) if not probe.is_train.all() else ("train", probe.is_train)


def chance(probe: Probe, chosen: Inputs) -> float:
    """The share of the chosen inputs on which the best single answer is right."""
    if probe.allowed is not None:
        return float(probe.allowed[chosen].mean(axis=0).max())
    return float(np.bincount(probe.targets[chosen]).max() / chosen.sum())


def guessed_share(n: int, chance: float, n_comparisons: int = 1) -> float:
    """The largest share of n inputs that guessing gets right with 99 %, over that many comparisons: binomial."""
    if not 0 < chance < 1:
        return float(chance)
    return binomial_quantile(n, chance, 1 - RARE / n_comparisons) / n


def of_share(statistic: str, value: float, context: Context, chosen: Inputs, n_comparisons: int = 1) -> Null:
    """The null of the share of the chosen inputs that are answered right."""
    n = int(chosen.sum())
    threshold = guessed_share(n, chance(context.probe, chosen), n_comparisons) if n else np.nan
    return Null(statistic, value, threshold, SOURCE, unit="share")


def of_accuracy(context: Context, is_right: Inputs, statistic: str = "{} accuracy", n_comparisons: int = 1) -> Null:
    """The null of which inputs are right, by the split that tells; its name goes into `statistic`."""
    split, chosen = judged(context.probe)
    return of_share(statistic.format(split), float(is_right[chosen].mean()), context, chosen, n_comparisons)


def entropy(probe: Probe, chosen: Inputs) -> float:
    """The loss in nats of the best guess on the chosen inputs: the entropy of the right answers, ln n where even."""
    shares = np.bincount(probe.targets[chosen]) / chosen.sum()
    return float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())


def of_mean(statistic: str, mean: float, std: float, context: Context, chosen: Inputs, n_comparisons: int = 1) -> Null:
    """The null of the mean over the chosen inputs of what speaks for the right answer: random numbers of its spread.

    On a full grid each input is one; in a sample, where inputs with the same answer share tokens and a network that
    learned nothing treats them alike, each right answer is.
    """
    n = int(chosen.sum()) if context.grid else len(np.unique(context.probe.targets[chosen]))
    source = f"99 % of means of {n:,} random numbers with its spread"
    return Null(statistic, mean, std * z_score(n_comparisons) / n**0.5, source)
