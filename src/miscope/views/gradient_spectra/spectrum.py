"""Shows the frequencies of the gradient at one step, beside those for shuffled labels."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import highest, long

from miscope.analyzers.gradient_spectra import GradientSpectra, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared.gradients import TONES, against_shuffled


def table(spectra: Artifact[GradientSpectra], context: Context, step: int) -> pd.DataFrame:
    """One row per (site, labels, frequency); `share` of the site's gradient, the constant left out."""
    output = spectra[step]
    both = np.stack([output.power, output.shuffled_power], axis=1)
    frequency = np.arange(1, both.shape[2] + 1)
    found = long("share", both, site=output.site, labels=tuple(TONES), frequency=frequency)
    top = max(highest(spectra, "power"), highest(spectra, "shuffled_power"))
    found.attrs |= {"tones": TONES, "limits": {"share": (0.0, 1.05 * top or 1.0)}, "null": against_shuffled(output)}
    return found


view = View(
    question="Which frequencies does the gradient hold at each site?",
    reading="A peak that the grey curve has too is made by the network's own weights, which pass any error on at their "
    "frequencies; one that it does not have is what the right labels ask for at this step.",
    needs=analyzer,
    table=table,
    draw=lines("frequency", "share", "labels", "site", titles={"frequency": "frequency k"}),
)
