"""Shows when neurons come to serve one frequency each."""

import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.neuron_spectra import NeuronSpectra, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared.frequencies import TUNED, of_specialised


def table(spectra: Artifact[NeuronSpectra], context: Context) -> pd.DataFrame:
    """One row per (layer, level, step); `neurons` counts those whose peak has at least that share of their variance."""
    counts = spectra.stack("n_specialised")
    first = spectra[spectra.steps[0]]
    levels = [f"at least {level:.0%} at one frequency" for level in first.level]
    layers = [f"layer {i}" for i in range(counts.shape[1])]
    found = long("neurons", counts, step=spectra.steps, layer=layers, level=levels)
    found = found.sort_values(["layer", "level", "step"]).reset_index(drop=True)
    _, n_neurons, n_freq = first.fraction.shape
    found.attrs["limits"] = {"neurons": (0.0, 1.02 * n_neurons)}
    found.attrs["null"] = of_specialised(
        TUNED, int(counts[-1, :, 0].sum()), len(layers) * n_neurons, float(first.level[0]), n_freq
    )
    return found


view = View(
    question="When do neurons specialise in one frequency?",
    reading="How many neurons have most of their variance over the inputs at a single frequency. The axis ends at "
    "the number of neurons.",
    needs=analyzer,
    table=table,
    draw=lines("step", "neurons", "level", "layer"),
)
