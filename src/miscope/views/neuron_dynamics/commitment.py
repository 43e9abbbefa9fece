"""Shows when neurons settle on the frequency that they end with."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.renderers import lines
from miscope.trackers.neuron_dynamics import NeuronDynamics, analyzer
from miscope.views.shared.frequencies import of_tuned


def table(dynamics: NeuronDynamics, context: Context) -> pd.DataFrame:
    """One row per (layer, step); `committed` is the share of neurons that hold their final frequency from then on."""
    commitment = dynamics.commitment_step  # NaN: never, and no comparison with it is true
    shares = np.stack([(commitment <= step).mean(axis=1) for step in dynamics.steps], axis=1)
    found = long("committed", shares, layer=[f"layer {i}" for i in range(len(shares))], step=dynamics.steps)
    never = int(np.isnan(commitment).sum())
    found.attrs["limits"] = {"committed": (0.0, 1.02)}
    found.attrs["note"] = f"{never:,} of {commitment.size:,} neurons never commit"
    found.attrs["null"] = of_tuned(dynamics.peak_fraction[-1], context.basis.n_frequencies)
    return found


view = View(
    question="When do neurons commit to the frequency that they end with?",
    reading="The share of neurons whose final frequency holds from that step on. A steep rise is a common decision; "
    "a long ramp, one neuron after another. A curve that ends below 1 leaves neurons that never chose.",
    needs=analyzer,
    table=table,
    draw=lines("step", "committed", "layer", titles={"committed": "share of neurons committed"}),
)
