"""Shows the phase that each neuron writes against twice the phase that it reads, at one step.

Source: He et al. 2026, arXiv:2602.16849 (phase alignment).
"""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long, once

from miscope.analyzers.neuron_fourier import NeuronFourier, analyzer
from miscope.core import Artifact, Context, NotApplicable, View
from miscope.renderers import heatmap
from miscope.views.shared.frequencies import of_phases


def table(
    neurons: Artifact[NeuronFourier], context: Context, step: int, *, layer: int = 0, bins: int = 24
) -> pd.DataFrame:
    """One row per (twice_read, written); `neurons` whose phases fall in that square, at the frequency that each reads.

    Phases in degrees, from -180 to 180, at the squares' middles.
    """
    off = neurons[step].misalignment
    if off is None:
        raise NotApplicable("The outputs are not tokens of the basis, so what neurons write has no phase.")
    middles = (np.arange(bins) + 0.5) * 360 / bins - 180
    found = long("neurons", _counts(neurons, step, layer, bins).astype(np.float32), written=middles, twice_read=middles)
    found.attrs["limits"] = {"neurons": (0.0, _fullest(neurons, layer, bins))}
    found.attrs["null"] = of_phases(off[layer])
    return found


def _counts(neurons: Artifact[NeuronFourier], step: int, layer: int, bins: int) -> np.ndarray:
    output = neurons[step]
    assert output.write_phase is not None
    read, written = (x[layer].astype(np.float64) for x in (output.read_phase, output.write_phase))
    turns = np.stack([written, 2 * read]) / (2 * np.pi) + 0.5
    row, column = (np.floor(turns % 1 * bins).astype(int) % bins)[:, output.read_frequency[layer] > 0]
    return np.bincount(row * bins + column, minlength=bins**2).reshape(bins, bins)


@once
def _fullest(neurons: Artifact[NeuronFourier], layer: int, bins: int) -> float:
    """The fullest square at any step."""
    return float(max(_counts(neurons, step, layer, bins).max() for step in neurons.steps))


view = View(
    question="Does each neuron write twice the phase that it reads?",
    reading="Neurons counted by twice the phase of the wave that they read, and the phase of the wave of the same "
    "frequency that they write. On the diagonal a neuron turns cosines of a and of b into one of a + b; an untrained "
    "network fills the square.",
    needs=analyzer,
    table=table,
    draw=heatmap(
        "twice_read", "written", "neurons", is_square=True, height=420,
        titles={"twice_read": "twice the phase read (degrees)", "written": "phase written (degrees)"},
    ),
)  # fmt: skip
