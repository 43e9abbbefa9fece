"""Shows from when on the residual stream tells more about the latents than an untrained network's."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.linear_probes import LinearProbes, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines, theme
from miscope.views.shared.latents import of_mean, untrained

READOUT = "this network"
NULLS = ("untrained network", "majority class", "shuffled labels")
TONES = {READOUT: theme.PALETTE[0]} | dict(zip(NULLS, (theme.PALETTE[1], theme.GREY, theme.PALE), strict=True))


def table(probes: Artifact[LinearProbes], context: Context) -> pd.DataFrame:
    """One row per (layer, readout, step); `accuracy` on held-out inputs, mean over the latents."""
    accuracy = probes.stack("accuracy").mean(axis=2)
    start = accuracy[:1] if untrained(probes) else np.full_like(accuracy[:1], np.nan)
    majority = probes.stack("majority").mean(axis=1)[:, None]
    nulls = (np.broadcast_to(x, accuracy.shape) for x in (start, majority, probes.stack("shuffled").mean(axis=2)))
    curves = np.stack([accuracy, *nulls])  # [readout step layer]
    layers = probes[probes.steps[0]].layer
    found = long("accuracy", curves.transpose(2, 0, 1), layer=layers, readout=(READOUT, *NULLS), step=probes.steps)
    found.attrs |= {"tones": TONES, "null": of_mean(probes)}
    return found


view = View(
    question="Does the residual stream come to hold the latents?",
    reading="The share of held-out inputs whose latent a linear probe gets right, mean over the latents, by layer. "
    "Only what lies above the untrained network has been learned; above the majority class or shuffled labels alone, "
    "it may be no more than the input shining through.",
    needs=analyzer,
    table=table,
    draw=lines("step", "accuracy", "readout", "layer", titles={"accuracy": "probe accuracy"}),
)
