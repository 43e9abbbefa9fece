"""Shows which latents the residual stream tells at one step, and which of them an untrained network tells too."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.linear_probes import LinearProbes, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import heatmap
from miscope.views.shared.latents import of_latents, untrained


def table(probes: Artifact[LinearProbes], context: Context, step: int) -> pd.DataFrame:
    """One row per (latent, readout); `accuracy` on held-out inputs, the nulls first, then the layers."""
    output, first = probes[step], untrained(probes)
    nulls = {"shuffled": output.shuffled.max(axis=0), "majority": output.majority}
    nulls |= {} if first is None else {"untrained": first.accuracy.max(axis=0)}
    names = (*nulls, *(name.removeprefix("layer ") for name in output.layer))
    values = np.concatenate([np.stack(list(nulls.values())), output.accuracy])
    found = long("accuracy", values.T, latent=output.latent, readout=names)
    found.attrs |= {"limits": {"accuracy": (0.0, 1.0)}, "null": of_latents(probes, step)}
    return found


view = View(
    question="Which latents can be read from the residual stream?",
    reading="Colour is the share of held-out inputs whose latent a linear probe gets right. A latent has been learned "
    "where a layer is brighter than all nulls; of the untrained network and of shuffled labels each latent's "
    "best layer is shown.",
    needs=analyzer,
    table=table,
    draw=heatmap(
        "readout", "latent", "accuracy",
        titles={"accuracy": "probe accuracy", "readout": "nulls, then the stream before and after each layer"},
    ),
)  # fmt: skip
