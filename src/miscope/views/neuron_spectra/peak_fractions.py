"""Shows how strongly neurons are tuned to their best frequency at one step."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long, once

from miscope.analyzers.neuron_spectra import NeuronSpectra, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import bars
from miscope.views.shared.frequencies import MEDIAN, of_neurons


def table(spectra: Artifact[NeuronSpectra], context: Context, step: int, *, bins: int = 40) -> pd.DataFrame:
    """One row per (layer, bin); `neurons` whose peak fraction lies in the bin centred at `peak_fraction`."""
    peaks = spectra[step].peak_fraction
    edges, counts = np.linspace(0, 1, bins + 1), _counts(peaks, bins)
    layers = [f"layer {i}" for i in range(len(peaks))]
    found = long("neurons", counts, layer=layers, peak_fraction=np.round((edges[:-1] + edges[1:]) / 2, 6))
    found.attrs["limits"] = {"neurons": (0.0, 1.05 * _tallest(spectra, bins)), "peak_fraction": (0.0, 1.0)}
    found.attrs["null"] = of_neurons(MEDIAN, peaks, spectra[step].fraction.shape[2])
    return found


def _counts(peaks: np.ndarray, bins: int) -> np.ndarray:
    return np.stack([np.histogram(layer, bins, (0, 1))[0] for layer in peaks])


@once
def _tallest(spectra: Artifact[NeuronSpectra], bins: int) -> int:
    """The highest bar at any step."""
    return max(int(_counts(output.peak_fraction, bins).max()) for output in spectra.values())


view = View(
    question="How strongly is each neuron tuned to its best frequency?",
    reading="A histogram of the share of each neuron's variance at its strongest frequency. Tuning moves neurons to "
    "the right.",
    needs=analyzer,
    table=table,
    draw=bars("peak_fraction", "neurons", facet="layer", titles={"peak_fraction": "variance at the peak frequency"}),
)
