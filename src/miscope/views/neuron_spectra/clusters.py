"""Shows which frequency each neuron serves at one step: neurons by frequency, sorted into clusters.

Source: the clusters are those of Nanda et al. 2023, arXiv:2301.05217, section 4.2.
"""

from typing import Literal

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.neuron_spectra import NeuronSpectra, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import heatmap
from miscope.views.shared.frequencies import MEDIAN, of_neurons


def table(
    spectra: Artifact[NeuronSpectra],
    context: Context,
    step: int,
    *,
    sort_by: Literal["this step", "final step"] = "this step",
    layer: int = 0,
) -> pd.DataFrame:
    """One row per (rank, frequency); `fraction` of the neuron's variance at that frequency, in [0, 1].

    `rank` orders neurons by peak frequency, within it by peak fraction, at this step or at the last.
    """
    fraction = spectra[step].fraction[layer]
    sorter = spectra[step] if sort_by == "this step" else spectra[spectra.steps[-1]]
    peak = np.asarray(sorter.peak_frequency[layer]).astype(int)
    order = np.lexsort((-sorter.peak_fraction[layer], peak))
    n, n_freq = fraction.shape
    found = long("fraction", fraction[order], rank=np.arange(n), frequency=np.arange(1, n_freq + 1))
    found["neuron"] = np.repeat(order.astype(np.int32), n_freq)
    found.attrs |= {"limits": {"fraction": (0.0, 1.0)}, "bands": bands(peak[order])}
    found.attrs["null"] = of_neurons(MEDIAN, spectra[step].peak_fraction[layer], n_freq)
    return found


def bands(peaks: np.ndarray) -> list[tuple[int, int, str]]:
    """Stretches of equal peak frequency as (first rank, last rank, `k = 38 (76)`); the count of neurons in brackets."""
    found, first, count = np.unique(peaks, return_index=True, return_counts=True)
    return [(int(f), int(f + c - 1), f"k = {k} ({c})") for k, f, c in zip(found, first, count, strict=True)]


view = View(
    question="Which frequency does each neuron serve?",
    reading="Each row is a neuron, bright where its variance lies, sorted by its strongest frequency; at the right "
    "the frequency k and how many neurons it has. A diagonal of many dim clusters is an untrained network; a few "
    "bright columns are the circuit.",
    needs=analyzer,
    table=table,
    draw=heatmap(
        "frequency", "rank", "fraction", height=430, extra="neuron",
        titles={"frequency": "frequency k", "rank": "neurons, sorted", "fraction": "fraction of the neuron's variance"},
    ),
)  # fmt: skip
