"""Shows how many bits at once the network's output depends on, over training."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.walsh_spectrum import WalshSpectrum, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import heatmap
from miscope.views.shared.sets import of_target_size


def table(spectra: Artifact[WalshSpectrum], context: Context) -> pd.DataFrame:
    """One row per (step, degree); `share` of the margin's energy on sets of so many bits, 0 the constant."""
    shares, first = spectra.stack("degree_share"), spectra[spectra.steps[0]]
    found = long("share", shares, step=spectra.steps, degree=np.arange(shares.shape[1]))
    chance = first.chance_degree_share
    found.attrs |= {
        "limits": {"share": (0.0, 1.0)},
        "null": of_target_size(spectra[spectra.steps[-1]]),
        "note": f"target: {first.target}; by chance at most {chance.max():.0%}, at degree {chance.argmax()}",
    }
    return found


view = View(
    question="How many bits at once does the output depend on?",
    reading="Each row is a size of sets, bright where sets of that many bits hold much of the output's energy; row 0 "
    "is the constant. A network begins with few bits; the row of the target's size lights up when it is solved.",
    needs=analyzer,
    table=table,
    draw=heatmap("step", "degree", "share", titles={"degree": "bits in the set", "share": "share of energy"}),
)
