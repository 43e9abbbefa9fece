"""Shows how few frequencies the neurons share, over training."""

import numpy as np
import pandas as pd

from miscope.core import Context, View
from miscope.renderers import lines
from miscope.trackers.neuron_dynamics import NeuronDynamics, analyzer
from miscope.views.tidy import long


def table(dynamics: NeuronDynamics, context: Context) -> pd.DataFrame:
    """One row per (layer, step); `concentration` is the Herfindahl index of tuned neurons over frequencies.

    A step without a tuned neuron has no row.
    """
    values = np.asarray(dynamics.concentration).T
    found = long("concentration", values, layer=[f"layer {i}" for i in range(len(values))], step=dynamics.steps)
    found.attrs["limits"] = {"concentration": (0.0, 1.05)}
    if found.empty:
        found.attrs["note"] = f"no neuron ever has {dynamics.level:.0%} of its variance at one frequency"
    return found


view = View(
    question="On how few frequencies do the neurons concentrate?",
    reading="The Herfindahl index: 1 when all tuned neurons serve one frequency, 1 / F when they share F evenly. "
    "Early values rest on few neurons.",
    needs=analyzer,
    table=table,
    draw=lines("step", "concentration", "layer", titles={"concentration": "concentration (Herfindahl)"}),
)
