"""Shows how early each site has the representation that it ends with."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.renderers import lines, theme
from miscope.trackers.representation_similarity import RepresentationSimilarity, analyzer
from miscope.views.shared import nulls
from miscope.views.shared.pace import EVEN, RESOLUTION
from miscope.views.shared.sites import kind, names, of_layer

TONES = {"debiased CKA": theme.PALETTE[0], "CKA": theme.PALETTE[1], "CKA by chance": theme.GREY}


def table(similarity: RepresentationSimilarity, context: Context, *, layer: int = -1) -> pd.DataFrame:
    """One row per (site, measure, step); `similarity` of the step's representation to that of the last checkpoint."""
    sites = of_layer(similarity.site, layer)
    measures = (similarity.debiased_cka, similarity.cka, similarity.chance_cka)
    values = np.stack([measure[sites][:, -1] for measure in measures], axis=1)
    found = long("similarity", values, site=names(similarity.site, sites), measure=list(TONES), step=similarity.steps)
    found.attrs |= {"tones": TONES, "limits": {"similarity": (min(-0.05, float(found["similarity"].min())), 1.03)}}
    found.attrs["null"] = _verdict(similarity, sites[-1])
    return found


def _verdict(similarity: RepresentationSimilarity, at: int) -> str:
    """How early half of the angle to the last representation of a site is behind it, for good."""
    angle = np.degrees(np.arccos(np.clip(similarity.debiased_cka[at, :, -1], -1, 1)))
    if not angle[0] >= 10 * RESOLUTION:  # so that a tenth of the way is told apart
        return nulls.none(f"{kind(similarity.site[at])} is at the first checkpoint as it is at the last, or unmeasured")
    first, span = similarity.steps[0], similarity.steps[-1] - similarity.steps[0]
    half = similarity.steps[1 + int(np.flatnonzero(~(angle <= angle[0] / 2))[-1])]
    null = float(first + span / 2 / nulls.MARGIN)
    return nulls.against("step at which half of the way to the end is done", float(half), null, EVEN, is_lower=True)


view = View(
    question="How early does each site look as it will at the end?",
    reading="Similarity to the last checkpoint, 1 at the end. Grey is the CKA of two representations that fill as many "
    "dimensions and share nothing else: only what is above it is evidence.",
    needs=analyzer,
    table=table,
    draw=lines("step", "similarity", "measure", "site", columns=2, titles={"similarity": "similarity to the last"}),
)
