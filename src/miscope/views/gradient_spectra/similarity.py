"""Shows when the sites come to be pushed on at the same frequencies."""

from itertools import combinations

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.gradient_spectra import GradientSpectra, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import nulls
from miscope.views.shared.gradients import SHUFFLED, TONES, beside_shuffled

MARGIN = 2 * nulls.MARGIN  # of what lacks to 1: on small networks, two shuffles differ by up to 2.3


def table(spectra: Artifact[GradientSpectra], context: Context) -> pd.DataFrame:
    """One row per (pair of sites, labels, step); `cosine` between their frequencies' shares, in [0, 1]."""
    sites = spectra[spectra.steps[0]].site
    pairs = list(combinations(range(len(sites)), 2))
    both = beside_shuffled(spectra, "similarity")  # [labels step site site]
    values = np.stack([both[:, :, i, j] for i, j in pairs])
    names = [f"{sites[i]} and {sites[j]}" for i, j in pairs]
    found = long("cosine", values, pair=names, labels=tuple(TONES), step=spectra.steps)
    own, shuffled = values[:, :, -1].mean(axis=0)
    found.attrs |= {"tones": TONES, "limits": {"cosine": (0.0, 1.02)}}
    found.attrs["null"] = nulls.against(
        "mean cosine of two sites", own, 1 - (1 - shuffled) / MARGIN, f"{SHUFFLED}, with a margin of {MARGIN:g}"
    )
    return found


view = View(
    question="Do all parts of the network work on the same frequencies?",
    reading="1: two sites are pushed on at the same frequencies. The grey curve is the same network with shuffled "
    "labels: sites agree there too where the embedding itself has few frequencies, and only the rest is the task.",
    needs=analyzer,
    table=table,
    draw=lines("step", "cosine", "labels", "pair"),
)
