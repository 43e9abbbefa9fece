"""Shows how few frequencies the neurons share, over training."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.maths.null_distributions import concentration
from miscope.renderers import lines
from miscope.trackers.neuron_dynamics import NeuronDynamics, analyzer
from miscope.views.shared import nulls
from miscope.views.shared.frequencies import TUNED, of_specialised


def table(dynamics: NeuronDynamics, context: Context) -> pd.DataFrame:
    """One row per (layer, step); `concentration` is the Herfindahl index of tuned neurons over frequencies.

    A step without a tuned neuron has no row.
    """
    values = np.asarray(dynamics.concentration).T
    found = long("concentration", values, layer=[f"layer {i}" for i in range(len(values))], step=dynamics.steps)
    found.attrs["limits"] = {"concentration": (0.0, 1.05)}
    if found.empty:
        found.attrs["note"] = f"no neuron ever has {dynamics.level:.0%} of its variance at one frequency"
    found.attrs["null"] = _verdict(dynamics)
    return found


def _verdict(dynamics: NeuronDynamics) -> str:
    """Of the layer with most tuned neurons at the end: few neurons are on few frequencies by chance."""
    counts = dynamics.neurons_per_frequency[-1]
    tuned, n_freq = counts.sum(axis=1), counts.shape[1]
    layer = int(tuned.argmax())
    n, found = int(tuned[layer]), float(dynamics.concentration[-1, layer])
    if not n:
        return of_specialised(TUNED, 0, dynamics.peak_frequency[-1].size, dynamics.level, n_freq)
    source = f"99 % of sets of {n:,} neurons at random frequencies"
    return nulls.against("concentration", found, concentration(n, n_freq), source)


view = View(
    question="On how few frequencies do the neurons concentrate?",
    reading="The Herfindahl index: 1 when all tuned neurons serve one frequency, 1 / F when they share F evenly. "
    "Early values rest on few neurons.",
    needs=analyzer,
    table=table,
    draw=lines("step", "concentration", "layer", titles={"concentration": "concentration (Herfindahl)"}),
)
