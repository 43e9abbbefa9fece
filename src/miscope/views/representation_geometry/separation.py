"""Shows how far apart two right answers lie, on average and for the two hardest to tell apart."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.representation_geometry import RepresentationGeometry, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared.answers import of_nearest_pair
from miscope.views.shared.sites import TONES, names, of_layer


def table(geometry: Artifact[RepresentationGeometry], context: Context, *, layer: int = -1) -> pd.DataFrame:
    """One row per (statistic, site, step); `fisher` is the squared distance over the sum of the squared radii."""
    first = geometry[geometry.steps[0]]
    sites = of_layer(first.site, layer)
    values = np.stack([geometry.stack(name).T[sites] for name in ("fisher_mean", "fisher_min")])
    found = long(
        "fisher",
        values,
        statistic=("mean over pairs", "nearest pair"),
        site=names(first.site, sites),
        step=geometry.steps,
    )
    found.attrs |= {"tones": TONES, "note": _nearest(geometry, sites)}
    found.attrs["null"] = of_nearest_pair(geometry, sites[-1])
    return found


def _nearest(geometry: Artifact[RepresentationGeometry], sites: list[int]) -> str:
    """The pair that is hardest to tell apart at the last site and checkpoint."""
    pair = geometry[geometry.steps[-1]].fisher_min_pair[sites[-1]]
    return "" if np.isnan(pair).any() else f"nearest at the end: {pair[0]:.0f} and {pair[1]:.0f}"


view = View(
    question="Which separation do the right answers reach?",
    reading="Fisher's criterion of two answers: squared distance of their centroids over the sum of their squared "
    "radii. The mean may be large while one pair still lies on top of each other; the lower panel shows that pair.",
    needs=analyzer,
    table=table,
    draw=lines("step", "fisher", "site", "statistic", log_y=True, titles={"fisher": "Fisher's criterion"}),
)
