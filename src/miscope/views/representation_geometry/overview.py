"""Shows when the inputs of one right answer come together and those of different ones part."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import joined, long

from miscope.analyzers.representation_geometry import RepresentationGeometry, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines, theme
from miscope.views.shared.answers import of_snr
from miscope.views.shared.sites import TONES, by_layer, names

RANDOM = "random answers"


def table(geometry: Artifact[RepresentationGeometry], context: Context) -> pd.DataFrame:
    """One row per (layer, site, step); `snr` is the centroids' squared spread over the clouds' mean squared radius."""
    first = geometry[geometry.steps[0]]
    chance, snr = np.full(len(geometry), first.chance_snr), geometry.stack("snr").T
    layers = by_layer(first.site)
    parts = [
        long("snr", np.vstack([chance, snr[sites]]), site=[RANDOM, *names(first.site, sites)], step=geometry.steps)
        for sites in layers.values()
    ]
    found = joined(parts, list(layers), "layer")
    found.attrs |= {"tones": {RANDOM: theme.GREY, **TONES}, "null": of_snr(geometry, len(first.site) - 1)}
    return found


view = View(
    question="When do the inputs of different right answers part?",
    reading="Signal-to-noise of the right answers at the answer position: above 1 the centroids lie farther apart than "
    "their clouds are wide. Grey is what answers drawn at random give; a probe that balances its inputs starts below "
    "it. A site that is the same for all inputs has no curve.",
    needs=analyzer,
    table=table,
    draw=lines("step", "snr", "site", "layer", log_y=True, titles={"snr": "signal to noise"}),
)
