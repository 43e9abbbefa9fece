"""Shows from when the right answers lie in the directions that the whole of training is seen in."""

import pandas as pd

from miscope.core import Context, View
from miscope.renderers import lines
from miscope.trackers.centroid_trajectory import CentroidTrajectory, analyzer
from miscope.views.sites import TONES, by_layer, names
from miscope.views.tidy import joined, long


def table(trajectory: CentroidTrajectory, context: Context) -> pd.DataFrame:
    """One row per (layer, site, step); `fit` is the share of the checkpoint's variance in the fixed axes, in [0, 1]."""
    layers = by_layer(trajectory.site)
    parts = [
        long("fit", trajectory.fit[sites], site=names(trajectory.site, sites), step=trajectory.steps)
        for sites in layers.values()
    ]
    found = joined(parts, list(layers), "layer")
    found.attrs |= {"tones": TONES, "limits": {"fit": (0.0, 1.03)}}
    found.attrs["note"] = f"{trajectory.coordinate.shape[3]} components"
    return found


view = View(
    question="From when do the right answers lie in their later directions?",
    reading="The share of the centroids' variance at each checkpoint inside the first components of all checkpoints. "
    "Where it is low, the paths show a shadow; where it rises before the loss falls, the directions are there already.",
    needs=analyzer,
    table=table,
    draw=lines("step", "fit", "site", "layer", titles={"fit": "share of variance in the axes"}),
)
