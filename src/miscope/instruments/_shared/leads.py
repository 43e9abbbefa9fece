"""How far chance takes the mean over inputs of what speaks for the right answer."""

import numpy as np
from jaxtyping import Bool

from miscope.core import Context
from miscope.instrument import Null
from miscope.instruments._shared.guessing import z_score


def of_mean(
    statistic: str,
    mean: float,
    std: float,
    context: Context,
    chosen: Bool[np.ndarray, " batch"],
    n_comparisons: int = 1,
) -> Null:
    """The null of the mean over the chosen inputs: that of as many toss-ups of its spread."""
    n = _toss_ups(context, chosen)
    source = f"99 % of means of {n:,} toss-ups of its spread"
    return Null(statistic, mean, std * z_score(n_comparisons) / n**0.5, source)


def _toss_ups(context: Context, chosen: Bool[np.ndarray, " batch"]) -> int:
    """How many independent ones the chosen inputs are: each, on a full grid; elsewhere one for each right answer.

    In a sample, inputs with the same answer share tokens, and a network that learned nothing treats them alike.
    """
    return int(chosen.sum()) if context.grid else len(np.unique(context.probe.targets[chosen]))
