"""Shows on circles of which frequencies the right answers are laid out, and from when."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.representation_geometry import RepresentationGeometry, analyzer
from miscope.core import Artifact, Context, NotApplicable, View
from miscope.maths.null_distributions import largest_share
from miscope.renderers import heatmap
from miscope.views.shared import nulls
from miscope.views.shared.sites import Kind, index_of


def table(
    geometry: Artifact[RepresentationGeometry], context: Context, *, site: Kind = "resid_post", layer: int = -1
) -> pd.DataFrame:
    """One row per (step, frequency); `share` of the centroids' variance, which sums to 1 over frequencies."""
    first = geometry[geometry.steps[0]]
    if first.power is None:
        raise NotApplicable("Fewer than five right answers lie on a circle however they are laid out.")
    power = geometry.stack("power")[:, index_of(first.site, site, layer)]
    share, n = float(power[-1].max()), power.shape[1]
    found = long("share", power, step=geometry.steps, frequency=np.arange(1, n + 1))
    source = "99 % of random layouts"
    found.attrs["null"] = nulls.against("largest share", share, largest_share(n), source, text=nulls.percent)
    found.attrs["note"] = site if first.has_native_order else f"{site}; over the answers' numbers, which are no group"
    return found


view = View(
    question="On circles of which frequencies do the right answers lie?",
    reading="The share of the centroids' variance at each frequency over the answers. A bright row is a circle on "
    "which answer r stands at the angle 2 pi k r / p; without circles every row has an even share.",
    needs=analyzer,
    table=table,
    draw=heatmap("step", "frequency", "share", titles={"frequency": "frequency k", "share": "share of variance"}),
)
