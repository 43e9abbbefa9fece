"""Shows how much of the neurons' variance is coarse, that is at the lowest frequencies, over training."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.neuron_spectra import NeuronSpectra, analyzer
from miscope.core import Artifact, Context, View
from miscope.maths.null_distributions import share_of_some
from miscope.renderers import lines
from miscope.views.shared import nulls
from miscope.views.shared.frequencies import RANDOM

LOWEST = 3
STATISTICS = ("mean", "90 % quantile", "median")


def table(spectra: Artifact[NeuronSpectra], context: Context) -> pd.DataFrame:
    """One row per (step, layer, statistic); `coarseness` is the share of a neuron's variance at k = 1 .. 3."""
    low = spectra.stack("low_fraction")  # [step layer neuron]
    values = np.stack([low.mean(axis=2), np.quantile(low, 0.9, axis=2), np.median(low, axis=2)], axis=2)
    layers = [f"layer {i}" for i in range(low.shape[1])]
    found = long("coarseness", values, step=spectra.steps, layer=layers, statistic=STATISTICS)
    found = found.sort_values(["layer", "statistic", "step"]).reset_index(drop=True)
    n_freq = spectra[spectra.steps[0]].fraction.shape[2]
    null = share_of_some(min(LOWEST, n_freq), n_freq)
    found.attrs["marks"] = {"even share": min(LOWEST / n_freq, 1.0), "99 % of random neurons": null}
    height = float(np.median(low, axis=2).max())
    what = f"the median neuron's share at k = 1 to {LOWEST}, at its height,"
    found.attrs["null"] = nulls.against(what, height, null, RANDOM, text=nulls.percent)
    return found


view = View(
    question="Do neurons first learn coarse, slowly varying functions?",
    reading="The share of a neuron's variance at its three lowest frequencies. Above the even share low "
    "frequencies have more than their part.",
    needs=analyzer,
    table=table,
    draw=lines("step", "coarseness", "statistic", "layer", titles={"coarseness": "variance at k = 1 to 3"}),
)
