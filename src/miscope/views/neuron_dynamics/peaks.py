"""Shows the peak frequency of every neuron over training."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.renderers import mosaic
from miscope.trackers.neuron_dynamics import NeuronDynamics, analyzer
from miscope.views.shared.frequencies import of_tuned
from miscope.views.shared.populations import names, tones


def table(dynamics: NeuronDynamics, context: Context, *, layer: int = 0) -> pd.DataFrame:
    """One row per (rank, step); `group` is the neuron's peak frequency, or `other` where few neurons end at it.

    `rank` orders neurons by their final frequency, within it by the step from which it holds.
    """
    peaks = np.asarray(dynamics.peak_frequency[:, layer]).astype(int)
    n = peaks.shape[1]
    final, counts = np.unique(peaks[-1], return_counts=True)
    large = sorted(final[np.argsort(-counts, kind="stable")][:7][np.sort(counts)[::-1][:7] >= 0.05 * n].tolist())
    kept = [k for k in large if k > 0]
    commitment = np.nan_to_num(dynamics.commitment_step[layer], nan=np.inf)
    order = np.lexsort((commitment, peaks[-1], names(peaks[-1], kept)))
    found = long("peak_frequency", peaks[:, order].T, rank=np.arange(n), step=dynamics.steps)
    codes = names(found["peak_frequency"].to_numpy(), kept)
    labels = list(tones(kept))
    found["group"] = pd.Categorical.from_codes(codes, categories=labels)
    found["neuron"] = np.repeat(order, len(dynamics.steps))
    last = names(peaks[-1][order], kept)
    bands = [(np.flatnonzero(last == i), label) for i, label in enumerate(labels)]
    found.attrs |= {
        "tones": tones(kept),
        "null": of_tuned(dynamics.peak_fraction[-1, layer], context.basis.n_frequencies),
        "bands": [(int(rows[0]), int(rows[-1]), f"{label} ({len(rows)})") for rows, label in bands if len(rows)],
    }
    return found


view = View(
    question="When does each neuron find its frequency?",
    reading="Each row is a neuron, coloured by its peak frequency at each step and sorted by its last one, named at "
    "the right with the count of neurons. Grey: a frequency that few neurons end at. Where a row takes its final "
    "colour for good, the neuron has chosen.",
    needs=analyzer,
    table=table,
    draw=mosaic(
        "step", "rank", "group", height=430, extra="neuron", value="peak_frequency", titles={"rank": "neurons, sorted"}
    ),
)
