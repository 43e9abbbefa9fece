"""Shows when what neurons read of the tokens, and what they write to the outputs, comes down to one frequency."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.neuron_fourier import NeuronFourier, analyzer
from miscope.core import Artifact, Context, View
from miscope.maths.null_distributions import largest_share
from miscope.renderers import lines
from miscope.views.shared.frequencies import of_neurons
from miscope.views.shared.quantiles import QUANTILES, quantiles


def table(neurons: Artifact[NeuronFourier], context: Context) -> pd.DataFrame:
    """One row per (end, statistic, step); `share` of the energy at a neuron's best frequency, over all neurons.

    Where outputs are not tokens of the basis, neurons are seen at the end that reads alone.
    """
    first, last = neurons[neurons.steps[0]], neurons[neurons.steps[-1]]
    ends = {"reads": "read_share"} | ({} if first.write_share is None else {"writes": "write_share"})
    n_freq = context.basis.n_frequencies
    values = np.stack([quantiles(neurons.stack(field)) for field in ends.values()])
    found = long("share", values, end=list(ends), statistic=QUANTILES, step=neurons.steps)
    found.attrs |= {
        "limits": {"share": (0.0, 1.02)},
        "marks": {"99 % of random neurons": largest_share(n_freq)},
        "null": of_neurons("share that the median neuron reads at one frequency", last.read_share, n_freq),
        "note": f"read through the {first.path}" if first.path == "heads" else "read straight from the embedding",
    }
    return found


view = View(
    question="When do neurons come to read and write a single frequency?",
    reading="The share of the energy of what a neuron reads of the tokens, and of what it writes to the outputs, at "
    "its best frequency: the median neuron and the tenth from either end. It is read off the weights, so it is seen "
    "before the neurons' activations are tuned. A random function stays below the dashed line 99 times in a hundred.",
    needs=analyzer,
    table=table,
    draw=lines("step", "share", "statistic", "end", titles={"share": "share at the best frequency"}),
)
