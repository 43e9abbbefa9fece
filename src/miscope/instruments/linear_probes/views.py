"""Which latents the residual stream tells, since when, and which of them an untrained network tells too."""

import numpy as np

from miscope.instruments.linear_probes.measure import LinearProbes, untrained
from miscope.plugin import DIVERGING, Artifact, Context, Table, heatmap, lines, long, theme, view

TITLES = {"accuracy": "probe accuracy", "readout": "nulls, then the stream before and after each layer"}
READOUT = "this network"
NULLS = ("untrained network", "majority class", "shuffled labels")
COLORS = {READOUT: theme.PALETTE[0]} | dict(zip(NULLS, (theme.PALETTE[1], theme.GREY, theme.PALE), strict=True))


@view(
    question="When does the residual stream represent the latents?",
    reading="The share of held-out inputs whose latent a linear probe predicts, averaged over the latents, by layer. "
    "Only what is above the untrained network has been learned. What is above the majority class or shuffled labels, "
    "but not above the untrained network, can come from the input alone.",
    draw=lines("step", "accuracy", "readout", "layer", titles={"accuracy": "probe accuracy"}),
)
def overview(probes: Artifact[LinearProbes], context: Context) -> Table:
    """One row per (layer, readout, step); `accuracy` on held-out inputs, mean over the latents."""
    accuracy = probes.stack("accuracy").mean(axis=2)
    start = accuracy[:1] if untrained(probes) else np.full_like(accuracy[:1], np.nan)
    majority = probes.stack("majority").mean(axis=1)[:, None]
    nulls = (np.broadcast_to(x, accuracy.shape) for x in (start, majority, probes.stack("shuffled").mean(axis=2)))
    curves = np.stack([accuracy, *nulls]).transpose(2, 0, 1)  # [layer readout step]
    readouts = (READOUT, *NULLS)
    return Table(long("accuracy", curves, layer=probes.last.layer, readout=readouts, step=probes.steps), colors=COLORS)


@view(
    question="Which latents can a linear probe decode from the residual stream?",
    reading="The colour is the share of held-out inputs whose latent a linear probe predicts. A latent is learned "
    "where a layer is brighter than all nulls; for the untrained network and shuffled labels, each latent's best layer "
    "is shown.",
    draw=heatmap("readout", "latent", "accuracy", titles=TITLES),
)
def latents(probes: Artifact[LinearProbes], context: Context, step: int) -> Table:
    """One row per (latent, readout); `accuracy` on held-out inputs, the nulls first, then the layers."""
    output, first = probes[step], untrained(probes)
    nulls = {"shuffled": output.shuffled.max(axis=0), "majority": output.majority}
    nulls |= {} if first is None else {"untrained": first.accuracy.max(axis=0)}
    names = (*nulls, *(name.removeprefix("layer ") for name in output.layer))
    values = np.vstack([*nulls.values(), output.accuracy])
    rows = long("accuracy", values.T, latent=output.latent, readout=names)
    return Table(rows, limits={"accuracy": (0.0, 1.0)})


@view(
    question="When can each latent be decoded?",
    reading="The colour is how far the best layer's probe is above the best null: the untrained network, the majority "
    "class or shuffled labels. Red is learned; white is no more than at the start.",
    draw=heatmap("step", "latent", "gain", colorscale=DIVERGING, titles={"gain": "accuracy above best null"}),
)
def over_time(probes: Artifact[LinearProbes], context: Context) -> Table:
    """One row per (latent, step); `gain` is the best layer's accuracy above the best null's best, in [-1, 1]."""
    best, first = probes.stack("accuracy").max(axis=1), untrained(probes)
    null = np.maximum(probes.stack("majority"), probes.stack("shuffled").max(axis=1))
    null = null if first is None else np.maximum(null, first.accuracy.max(axis=0))
    return Table(long("gain", (best - null).T, latent=probes.last.latent, step=probes.steps))
