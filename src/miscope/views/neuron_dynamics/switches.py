"""Shows how often neurons change their frequency."""

import numpy as np
import pandas as pd

from miscope.core import Context, View
from miscope.renderers import bars
from miscope.trackers.neuron_dynamics import NeuronDynamics, analyzer
from miscope.views.tidy import long


def table(dynamics: NeuronDynamics, context: Context) -> pd.DataFrame:
    """One row per (layer, number of switches); `neurons` that change their peak frequency so many times."""
    switches = np.asarray(dynamics.n_switches).astype(int)
    top = int(switches.max())
    counts = np.stack([np.bincount(layer, minlength=top + 1) for layer in switches])
    found = long("neurons", counts, layer=[f"layer {i}" for i in range(len(counts))], switches=np.arange(top + 1))
    found.attrs["when"] = ""
    found.attrs["note"] = f"{(switches == 0).mean():.0%} of the neurons never switch"
    return found


view = View(
    question="How often do neurons change their mind?",
    reading="Neurons by the number of times that their peak frequency changed between checkpoints at which they "
    "were tuned. Checkpoints far apart miss switches.",
    needs=analyzer,
    table=table,
    draw=bars("switches", "neurons", facet="layer", titles={"switches": "changes of peak frequency"}),
)
