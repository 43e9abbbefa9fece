"""Shows when the gradient narrows to few frequencies, against the gradient for shuffled labels."""

import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.gradient_spectra import GradientSpectra, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared.gradients import TONES, against_shuffled, beside_shuffled, sharing


def table(spectra: Artifact[GradientSpectra], context: Context) -> pd.DataFrame:
    """One row per (site, labels, step); `frequencies` is 1 over the inverse participation ratio, from 1 to n_f.

    A site whose gradient does not vary over tokens has no row at that step.
    """
    count = sharing(beside_shuffled(spectra, "concentration"))  # [labels step site]
    first, last = spectra[spectra.steps[0]], spectra[spectra.steps[-1]]
    found = long("frequencies", count.transpose(2, 0, 1), site=first.site, labels=tuple(TONES), step=spectra.steps)
    found.attrs |= {"tones": TONES, "marks": {"all": float(first.power.shape[1])}, "null": against_shuffled(last)}
    return found


view = View(
    question="When does the gradient narrow to few frequencies?",
    reading="About how many frequencies share the gradient. Where the grey curve, the same network with shuffled "
    "labels, is as low or lower, the network's own weights narrow the gradient, and not the task.",
    needs=analyzer,
    table=table,
    draw=lines("step", "frequencies", "labels", "site", titles={"frequencies": "frequencies"}),
)
