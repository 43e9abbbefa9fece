"""Shows when the gradient narrows to few frequencies, against the gradient for shuffled labels."""

import numpy as np
import pandas as pd

from miscope.analyzers.gradient_spectra import GradientSpectra, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines, theme
from miscope.views.tidy import long

TONES = {"right labels": theme.PALETTE[0], "shuffled labels": theme.GREY}


def table(spectra: Artifact[GradientSpectra], context: Context) -> pd.DataFrame:
    """One row per (site, labels, step); `frequencies` is 1 over the inverse participation ratio, from 1 to n_f.

    A site whose gradient does not vary over tokens has no row at that step.
    """
    both = np.stack([spectra.stack(name) for name in ("concentration", "shuffled_concentration")])  # [labels step site]
    count = np.divide(1, both, out=np.full_like(both, np.nan), where=both > 0)
    first = spectra[spectra.steps[0]]
    found = long("frequencies", count.transpose(2, 0, 1), site=first.site, labels=tuple(TONES), step=spectra.steps)
    found.attrs |= {"tones": TONES, "marks": {"all": float(first.power.shape[1])}}
    return found


view = View(
    question="When does the gradient narrow to few frequencies?",
    reading="About how many frequencies share the gradient. The grey curve is the same network with shuffled labels: "
    "where it is as low or lower, the network's own weights narrow the gradient; only below it would the task do so.",
    needs=analyzer,
    table=table,
    draw=lines("step", "frequencies", "labels", "site", titles={"frequencies": "frequencies"}),
)
