"""Shows whether the network is surer of pairs that lie at some distances than at others, at one step."""

import numpy as np
import pandas as pd

from miscope.analyzers.circuit_style import CircuitStyle, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines, theme
from miscope.views.tidy import highest, long, once

TONES = {"mean": theme.PALETTE[0], "mean + std": theme.PALE, "mean - std": theme.PALE}


def table(style: Artifact[CircuitStyle], context: Context, step: int) -> pd.DataFrame:
    """One row per (curve, distance); `logit` of the right answer over the pairs of one distance b - a modulo p."""
    output = style[step]
    mean, std = output.logit_mean, output.logit_std
    found = long("logit", np.stack([mean, mean + std, mean - std]), curve=tuple(TONES), distance=output.distance)
    found.attrs |= {
        "tones": TONES,
        "limits": {"logit": (_lowest(style), highest(style, "logit_mean") + _spread(style))},
    }
    return found


@once
def _lowest(style: Artifact[CircuitStyle]) -> float:
    return min(float((output.logit_mean - output.logit_std).min()) for output in style.values())


@once
def _spread(style: Artifact[CircuitStyle]) -> float:
    return max(float(output.logit_std.max()) for output in style.values())


view = View(
    question="Is the network surer of some distances between the summands?",
    reading="The right logit over all pairs of one distance. A pizza's falls to its floor at the distances at which "
    "its waves cancel, and pairs of one distance are alike; a clock's is flat.",
    needs=analyzer,
    table=table,
    draw=lines("distance", "logit", "curve", titles={"distance": "distance b - a", "logit": "right logit"}),
)
