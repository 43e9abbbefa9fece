"""Shows which latents the residual stream tells at one step, and which of them an untrained network tells too."""

import numpy as np
import pandas as pd

from miscope.analyzers.linear_probes import LinearProbes, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import heatmap
from miscope.views.tidy import long

NULLS = ("shuffled", "majority", "untrained")


def table(probes: Artifact[LinearProbes], context: Context, step: int) -> pd.DataFrame:
    """One row per (latent, readout); `accuracy` on held-out inputs, the three nulls first, then the layers."""
    output, first = probes[step], probes[probes.steps[0]]
    nulls = np.stack([output.shuffled.max(axis=0), output.majority, first.accuracy.max(axis=0)])
    names = (*NULLS, *(name.removeprefix("layer ") for name in output.layer))
    found = long("accuracy", np.concatenate([nulls, output.accuracy]).T, latent=output.latent, readout=names)
    found.attrs["limits"] = {"accuracy": (0.0, 1.0)}
    return found


view = View(
    question="Which latents can be read from the residual stream?",
    reading="Colour is the share of held-out inputs whose latent a linear probe gets right. A latent has been learned "
    "where a layer is brighter than all three nulls; of the untrained network and of shuffled labels each latent's "
    "best layer is shown.",
    needs=analyzer,
    table=table,
    draw=heatmap(
        "readout", "latent", "accuracy",
        titles={"accuracy": "probe accuracy", "readout": "nulls, then the stream before and after each layer"},
    ),
)  # fmt: skip
