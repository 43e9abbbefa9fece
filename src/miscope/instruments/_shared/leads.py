"""How far chance takes what speaks for the right answer: its mean over inputs, and the share on which it leads."""

import numpy as np
from jaxtyping import Bool

from miscope.analyzers.logit_difference import LogitDifference
from miscope.core import Context
from miscope.views.shared import nulls
from miscope.views.shared.guessing import deviates, judged, luckiest_share


def toss_ups(context: Context, chosen: Bool[np.ndarray, " batch"]) -> int:
    """How many independent ones the chosen inputs are: each, on a full grid; elsewhere one for each right answer.

    In a sample, inputs with the same answer share tokens, and a network that learned nothing treats them alike.
    """
    return int(chosen.sum()) if context.grid else len(np.unique(context.probe.targets[chosen]))


def of_mean(what: str, mean: float, spread: float, n: int, looks: int = 1) -> str:
    """The verdict on the mean of n toss-ups that have that standard deviation; the best of `looks`."""
    null = spread * deviates(looks) / n**0.5
    return nulls.against(what, mean, null, f"99 % of means of {n:,} toss-ups of its spread")


def of_share(output: LogitDifference, context: Context, looks: int = 1) -> str:
    """The verdict on the inputs on which the right answer leads; `looks`: at how many steps one looks."""
    split, chosen = judged(context.probe)
    found, null = getattr(output, f"{split}_positive"), luckiest_share(int(chosen.sum()), 0.5, looks)
    what = f"share of {split} inputs on which the right answer leads"
    return nulls.against(what, found, null, "99 % of tosses of a coin", text=nulls.percent)
