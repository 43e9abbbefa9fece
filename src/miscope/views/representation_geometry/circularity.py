"""Shows when the centroids of the right answers form a ring."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.representation_geometry import RepresentationGeometry, analyzer
from miscope.core import Artifact, Context, NotApplicable, View
from miscope.maths.random_clouds import rare_rings
from miscope.renderers import lines, theme
from miscope.views.shared.answers import HEADS, of_circularity
from miscope.views.shared.sites import TONES, names, of_layer

MEASURES = ("circularity of four components", "alignment of the angles in PC1 and PC2")


def table(geometry: Artifact[RepresentationGeometry], context: Context, *, layer: int = -1) -> pd.DataFrame:
    """One row per (measure, site, step); `value` in [0, 1], beside what random centroids give."""
    first = geometry[geometry.steps[0]]
    if first.circularity is None:
        raise NotApplicable("Fewer than five right answers lie on a circle however they are laid out.")
    sites = of_layer(first.site, layer)
    measured = np.stack([geometry.stack(name).T[sites] for name in ("circularity", "ring_alignment")])
    chance = np.array(rare_rings(len(first.label)))
    values = np.concatenate([np.broadcast_to(chance[:, None, None], (2, 1, measured.shape[2])), measured], axis=1)
    found = long("value", values, measure=MEASURES, site=[HEADS, *names(first.site, sites)], step=geometry.steps)
    found.attrs |= {"tones": {HEADS: theme.GREY, **TONES}, "limits": {"value": (0.0, 1.03)}}
    found.attrs["null"] = of_circularity(geometry, sites[-1])
    return found


view = View(
    question="When do the right answers form a ring?",
    reading="1 is a perfect ring. Circularity asks that each component be a wave of one frequency over the answers, "
    "alignment that their angles follow it. Grey: what one untrained attention head in a hundred shows.",
    needs=analyzer,
    table=table,
    draw=lines("step", "value", "site", "measure"),
)
