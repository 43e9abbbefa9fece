"""Shows whether the network is surer of pairs that lie at some distances than at others, at one step."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long, once

from miscope.analyzers.circuit_style import CircuitStyle, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import bounds
from miscope.views.shared.styles import against_shuffled

TONES = bounds.tones("mean", "std")


def table(style: Artifact[CircuitStyle], context: Context, step: int) -> pd.DataFrame:
    """One row per (curve, distance); `logit` of the right answer over the pairs of one distance b - a modulo p."""
    output = style[step]
    found = long("logit", _curves(output), curve=tuple(TONES), distance=output.distance)
    found.attrs |= {"tones": TONES, "limits": {"logit": _span(style)}, "null": against_shuffled(output)}
    return found


def _curves(output: CircuitStyle) -> np.ndarray:
    """[curve distance]"""
    return bounds.around(output.logit_mean, output.logit_std)


@once
def _span(style: Artifact[CircuitStyle]) -> tuple[float, float]:
    """The lowest and the highest that any curve comes to over training."""
    every = np.stack([_curves(output) for output in style.values()])
    return float(every.min()), float(every.max())


view = View(
    question="Is the network surer of some distances between the summands?",
    reading="The right logit over all pairs of one distance. A pizza's falls to its floor at the distances at which "
    "its waves cancel, and pairs of one distance are alike; a clock's is flat.",
    needs=analyzer,
    table=table,
    draw=lines("distance", "logit", "curve", titles={"distance": "distance b - a", "logit": "right logit"}),
)
