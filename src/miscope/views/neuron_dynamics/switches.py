"""Shows how often neurons change their frequency."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.maths.null_distributions import RARE, count, largest_share
from miscope.renderers import bars
from miscope.trackers.neuron_dynamics import NeuronDynamics, analyzer
from miscope.views.shared import nulls


def table(dynamics: NeuronDynamics, context: Context) -> pd.DataFrame:
    """One row per (layer, number of switches); `neurons` that change their peak frequency so many times."""
    switches = np.asarray(dynamics.n_switches).astype(int)
    top = int(switches.max())
    counts = np.stack([np.bincount(layer, minlength=top + 1) for layer in switches])
    found = long("neurons", counts, layer=[f"layer {i}" for i in range(len(counts))], switches=np.arange(top + 1))
    found.attrs["when"] = ""
    found.attrs["note"] = f"{(switches == 0).mean():.0%} of the neurons never switch"
    found.attrs["null"] = _verdict(dynamics, context.basis.n_frequencies)
    return found


def _verdict(dynamics: NeuronDynamics, n_freq: int) -> str:
    """Of switches between two frequencies at both of which the neuron has more than 99 % of random ones.

    Among neurons drawn anew at each of n checkpoints, those that pass that level twice may seem to switch.
    """
    n_steps, n = len(dynamics.steps), dynamics.peak_frequency[0].size
    k = np.where(dynamics.peak_fraction > largest_share(n_freq), dynamics.peak_frequency, 0)
    last, first = k.max(axis=0), np.where(k > 0, k, n_freq + 1).min(axis=0)
    once = n_steps * RARE * (1 - RARE) ** (n_steps - 1)
    null = count(n, 1 - (1 - RARE) ** n_steps - once)
    source = "99 % of networks drawn anew at each checkpoint"
    return nulls.against("neurons that switch while tuned", int((first < last).sum()), null, source)


view = View(
    question="How often do neurons change their mind?",
    reading="Neurons by the number of times that their peak frequency changed between checkpoints at which they "
    "were tuned. Checkpoints far apart miss switches.",
    needs=analyzer,
    table=table,
    draw=bars("switches", "neurons", facet="layer", titles={"switches": "changes of peak frequency"}),
)
