"""Shows when each latent comes to be read better than its nulls allow."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.linear_probes import LinearProbes, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import DIVERGING, heatmap
from miscope.views.shared.latents import of_latents, untrained


def table(probes: Artifact[LinearProbes], context: Context) -> pd.DataFrame:
    """One row per (latent, step); `gain` is the best layer's accuracy above the best null, in [-1, 1].

    The nulls are the untrained network, where it is there, and shuffled labels, of each the best layer too, and the
    majority class.
    """
    best, first = probes.stack("accuracy").max(axis=1), untrained(probes)
    null = np.maximum(probes.stack("majority"), probes.stack("shuffled").max(axis=1))
    null = null if first is None else np.maximum(null, first.accuracy.max(axis=0))
    found = long("gain", (best - null).T, latent=probes[probes.steps[0]].latent, step=probes.steps)
    found.attrs["null"] = of_latents(probes, probes.steps[-1])
    return found


view = View(
    question="When does each latent come to be read?",
    reading="Colour is how far a latent's probe at its best layer is above its best null: the untrained network, the "
    "majority class or shuffled labels. Red has been learned, white is no more than was there at the start.",
    needs=analyzer,
    table=table,
    draw=heatmap("step", "latent", "gain", colorscale=DIVERGING, titles={"gain": "accuracy above best null"}),
)
