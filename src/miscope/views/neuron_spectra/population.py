"""Shows how many neurons serve each frequency at one step."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import highest_population

from miscope.analyzers.neuron_spectra import NeuronSpectra, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import bars
from miscope.views.shared.frequencies import of_specialised


def table(spectra: Artifact[NeuronSpectra], context: Context, step: int, *, level: float = 0.7) -> pd.DataFrame:
    """One row per (layer, tuning, frequency); `neurons` whose peak is that frequency.

    `tuning` says whether the peak has at least `level` of the neuron's variance. Frequencies without neurons: no row.
    """
    output = spectra[step]
    strong, weak = f"at least {level:.0%} at its peak", f"less than {level:.0%}"
    n_layers, n = output.peak_frequency.shape
    found = pd.DataFrame(
        {
            "layer": np.repeat([f"layer {i}" for i in range(n_layers)], n),
            "tuning": np.where(output.peak_fraction.ravel() >= level, strong, weak),
            "frequency": output.peak_frequency.ravel().astype(int),
        }
    )
    counts = found.groupby(["layer", "tuning", "frequency"]).size().rename("neurons").reset_index()
    tuned = [k[f >= level] for k, f in zip(output.peak_frequency, output.peak_fraction, strict=True)]
    largest = max(int(np.bincount(layer, minlength=1).max()) for layer in tuned)
    total = counts.groupby(["layer", "frequency"])["neurons"].transform("sum")
    counts["is_large"] = total >= 0.05 * n
    counts.attrs |= {
        "limits": {
            "neurons": (0.0, 1.15 * highest_population(spectra)),
            "frequency": (0.0, output.fraction.shape[2] + 1.0),
        },
        "tones": {strong: "#0072B2", weak: "#9ECAE1"},
        "null": of_specialised(
            "neurons tuned to the same frequency", largest, n_layers * n, level, context.basis.n_frequencies
        ),
    }
    return counts


view = View(
    question="How many neurons serve each frequency?",
    reading="Each neuron is counted at its strongest frequency, dark where it is well tuned; frequencies with at "
    "least 5 % of the neurons are coloured and named. After grokking only the key frequencies keep neurons.",
    needs=analyzer,
    table=table,
    draw=bars("frequency", "neurons", "tuning", "layer", emphasis="is_large", titles={"frequency": "frequency k"}),
)
