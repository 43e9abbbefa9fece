"""Shows which frequencies gain and lose neurons over training."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.renderers import area
from miscope.trackers.neuron_dynamics import NeuronDynamics, analyzer
from miscope.views.shared.frequencies import TUNED, of_specialised
from miscope.views.shared.populations import OTHER, named, tones


def table(dynamics: NeuronDynamics, context: Context, *, layer: int = 0) -> pd.DataFrame:
    """One row per (group, step); `neurons` whose peak frequency is the group's, tuned at the tracker's level.

    Frequencies that never reach 5 % of the neurons are summed as `other`.
    """
    counts = dynamics.neurons_per_frequency[:, layer]
    n_neurons = dynamics.peak_frequency.shape[2]
    shown = named(counts, n_neurons)
    own = counts[:, [k - 1 for k in shown]]
    values = np.concatenate([own, counts.sum(axis=1, keepdims=True) - own.sum(axis=1, keepdims=True)], axis=1)
    found = long("neurons", values.T, group=[*(f"k = {k}" for k in shown), OTHER], step=dynamics.steps)
    transient = [str(k) for k in np.flatnonzero(dynamics.is_transient[layer]) + 1]
    found.attrs |= {
        "limits": {"neurons": (0.0, float(n_neurons))},
        "tones": tones(shown),
        "null": of_specialised(TUNED, int(counts[-1].sum()), n_neurons, dynamics.level, counts.shape[1]),
        "note": f"tuned: at least {dynamics.level:.0%} at one frequency"
        + (f" · tried and lost: k = {', '.join(transient)}" if transient else ""),
    }
    return found


view = View(
    question="Which frequencies gain and lose neurons?",
    reading="Stacked: the neurons tuned to each frequency; white above is neurons tuned to none. Bands that grow "
    "and vanish are transient frequencies, whose neurons go elsewhere.",
    needs=analyzer,
    table=table,
    draw=area("step", "neurons", "group"),
)
