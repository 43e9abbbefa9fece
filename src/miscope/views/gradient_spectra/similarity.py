"""Shows when the sites come to be pushed on at the same frequencies."""

from itertools import combinations

import numpy as np
import pandas as pd

from miscope.analyzers.gradient_spectra import GradientSpectra, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines, theme
from miscope.views.tidy import long

TONES = {"right labels": theme.PALETTE[0], "shuffled labels": theme.GREY}


def table(spectra: Artifact[GradientSpectra], context: Context) -> pd.DataFrame:
    """One row per (pair of sites, labels, step); `cosine` between their frequencies' shares, in [0, 1]."""
    sites = spectra[spectra.steps[0]].site
    pairs = list(combinations(range(len(sites)), 2))
    both = np.stack([spectra.stack(name) for name in ("similarity", "shuffled_similarity")])  # [labels step site site]
    values = np.stack([both[:, :, i, j] for i, j in pairs])
    names = [f"{sites[i]} and {sites[j]}" for i, j in pairs]
    found = long("cosine", values, pair=names, labels=tuple(TONES), step=spectra.steps)
    found.attrs |= {"tones": TONES, "limits": {"cosine": (0.0, 1.02)}}
    return found


view = View(
    question="Do all parts of the network work on the same frequencies?",
    reading="1: two sites are pushed on at the same frequencies. The grey curve is the same network with shuffled "
    "labels: sites agree there too where the embedding itself has few frequencies, and only the rest is the task.",
    needs=analyzer,
    table=table,
    draw=lines("step", "cosine", "labels", "pair"),
)
