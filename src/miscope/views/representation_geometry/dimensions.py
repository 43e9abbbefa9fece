"""Shows how many dimensions the inputs of one right answer fill."""

import numpy as np
import pandas as pd

from miscope.analyzers.representation_geometry import RepresentationGeometry, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.sites import TONES, by_layer, names
from miscope.views.tidy import joined, long


def table(geometry: Artifact[RepresentationGeometry], context: Context) -> pd.DataFrame:
    """One row per (layer, site, step); `dimensions` is the participation ratio within an answer, mean over answers."""
    first = geometry[geometry.steps[0]]
    ratios = geometry.stack("participation_ratio")  # [step site cls]
    has_any = np.isfinite(ratios)
    means = np.where(has_any, ratios, 0).sum(axis=2) / np.where(has_any.any(axis=2), has_any.sum(axis=2), np.nan)
    layers = by_layer(first.site)
    parts = [
        long("dimensions", means.T[sites], site=names(first.site, sites), step=geometry.steps)
        for sites in layers.values()
    ]
    found = joined(parts, list(layers), "layer")
    least, most = int(first.n_inputs.min()), int(first.n_inputs.max())
    found.attrs |= {"tones": TONES, "note": f"{least if least == most else f'{least} to {most}'} inputs per answer"}
    return found


view = View(
    question="How many dimensions do the inputs of one right answer fill?",
    reading="Participation ratio of the inputs around their answer's centroid. A fall says that the network forgets "
    "what the answer does not need. With n inputs the number is below n - 1, so compare sites and steps, not probes.",
    needs=analyzer,
    table=table,
    draw=lines("step", "dimensions", "site", "layer", titles={"dimensions": "participation ratio"}),
)
