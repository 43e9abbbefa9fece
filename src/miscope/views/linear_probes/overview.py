"""Shows from when on the residual stream tells more about the latents than an untrained network's."""

import numpy as np
import pandas as pd

from miscope.analyzers.linear_probes import LinearProbes, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines, theme
from miscope.views.tidy import long

READOUT = "this network"
NULLS = ("untrained network", "majority class", "shuffled labels")
TONES = {READOUT: theme.PALETTE[0]} | dict(zip(NULLS, (theme.PALETTE[1], theme.GREY, theme.PALE), strict=True))


def table(probes: Artifact[LinearProbes], context: Context) -> pd.DataFrame:
    """One row per (layer, readout, step); `accuracy` on held-out inputs, mean over the latents."""
    accuracy = probes.stack("accuracy").mean(axis=2)
    untrained = np.broadcast_to(accuracy[:1], accuracy.shape)
    majority = np.broadcast_to(probes.stack("majority").mean(axis=1)[:, None], accuracy.shape)
    curves = np.stack([accuracy, untrained, majority, probes.stack("shuffled").mean(axis=2)], axis=-1)  # [step layer 4]
    layers = probes[probes.steps[0]].layer
    found = long("accuracy", curves.transpose(1, 2, 0), layer=layers, readout=(READOUT, *NULLS), step=probes.steps)
    found.attrs |= {"tones": TONES, "note": _verdict(curves[-1], layers, probes.steps[-1])}
    return found


def _verdict(ends: np.ndarray, layers: tuple[str, ...], step: int) -> str:
    """How far the best layer is above the best layer of each null at the last step, in points of accuracy."""
    best = layers[int(ends[:, 0].argmax())]
    end, untrained, *others = (100 * ends.max(axis=0)).tolist()
    above = end - untrained
    verdict = f"{above:.1f} points above" if above >= 0.1 else "no better than"
    return f"step {step:,}: {best} {verdict} the untrained network, {end - max(others):.1f} above chance"


view = View(
    question="Does the residual stream come to hold the latents?",
    reading="The share of held-out inputs whose latent a linear probe gets right, mean over the latents, by layer. "
    "Only what lies above the untrained network has been learned; above the majority class or shuffled labels alone, "
    "it may be no more than the input shining through.",
    needs=analyzer,
    table=table,
    draw=lines("step", "accuracy", "readout", "layer", titles={"accuracy": "probe accuracy"}),
)
