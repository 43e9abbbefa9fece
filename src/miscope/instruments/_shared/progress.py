"""What every view of filtered logits says of its filter, and of what chance would leave."""

import numpy as np

from miscope.core import Context
from miscope.maths.null_distributions import RARE
from miscope.trackers.progress_measures import ProgressMeasures
from miscope.views.shared import guessing, nulls

NOISE = "99 % of logits of noise"


def note(measures: ProgressMeasures) -> str:
    """Which keys, where they are from, and whether the basis belongs to the task."""
    keys = ", ".join(map(str, measures.key_frequency.tolist()))
    basis = "" if measures.is_native else " The task has no such input group: the basis is the DFT over its tokens."
    return f"keys: {keys or 'none'}. {measures.key_rule}{basis}"


def share_of_noise(size: int, looks: int = 1) -> float:
    """The share of the logits' energy that no frequency has with a probability of 99 %, if they are white noise.

    Over the size^2 inputs, of which two directions belong to a frequency, noise has a beta distributed share. It is
    wide where all outputs follow one function of the inputs, as is taken here, and narrower where they are many.
    """
    rare = RARE / (looks * (size // 2))
    return float(1 - rare ** (2 / (size**2 - 2)))


def verdict_on_loss(measures: ProgressMeasures, context: Context, split: int, words: str) -> str:
    """Of the loss with the keys alone (`split`: all inputs, train, test) at the end, against guessing.

    Filtered noise has the loss of guessing within some hundredths; below it by a margin there is a circuit.
    """
    if not len(measures.key_frequency):
        return verdict_on_keys(measures)
    train = context.probe.is_train
    chosen = (np.ones_like(train), train, ~train)[split]
    null = guessing.entropy(context.probe, chosen) / nulls.MARGIN if chosen.any() else np.nan
    source = f"guessing with a margin of {nulls.MARGIN:g}"
    return nulls.against(words, float(measures.restricted_loss[split, -1]), null, source, is_lower=True)


def verdict_on_keys(measures: ProgressMeasures) -> str:
    """Where no frequency stands out, there is nothing to filter by."""
    return nulls.against("number of key frequencies", len(measures.key_frequency), 0, "logits of noise")
