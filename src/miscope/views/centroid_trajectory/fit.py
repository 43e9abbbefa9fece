"""Shows from when the right answers lie in the directions that the whole of training is seen in."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import joined, long

from miscope.core import Context, View
from miscope.maths.checkpoints import time_weights
from miscope.renderers import lines
from miscope.trackers.centroid_trajectory import CentroidTrajectory, analyzer
from miscope.views.shared import nulls
from miscope.views.shared.sites import TONES, by_layer, names

WALK = 4.0  # by how much the odds of the share rise at most where layouts walk at random, be it slowly or fast


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
    found.attrs["null"] = _verdict(trajectory)
    return found


def _verdict(trajectory: CentroidTrajectory) -> str:
    """The mean over training at the last site, so that no checkpoint is judged by axes that are its own."""
    n, n_axes = len(trajectory.label), trajectory.coordinate.shape[3]
    if n <= n_axes + 1:
        return nulls.none(f"{n_axes} components hold whatever {n} right answers do")
    weights = time_weights(trajectory.steps)
    found, chance = (_mean(values[-1], weights) for values in (trajectory.fit, trajectory.chance_fit))
    start = float(np.nan_to_num(trajectory.fit[-1, 0]))  # NaN: all answers were one point
    null = nulls.raised(max(chance, start), WALK)
    source = "layouts on a random walk from the first, or unrelated"
    return nulls.against("mean share in the axes", found, null, source, text=nulls.percent)


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    is_there = np.isfinite(values)
    return float(np.average(values[is_there], weights=weights[is_there])) if is_there.any() else float("nan")


view = View(
    question="From when do the right answers lie in their later directions?",
    reading="The share of the centroids' variance at each checkpoint inside the first components of all checkpoints. "
    "Where it is low, the paths show a shadow; where it rises before the loss falls, the directions are there already.",
    needs=analyzer,
    table=table,
    draw=lines("step", "fit", "site", "layer", titles={"fit": "share of variance in the axes"}),
)
