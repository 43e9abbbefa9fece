"""Shows which stretches of training share a representation."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.core import Context, NotApplicable, View
from miscope.renderers import heatmap
from miscope.trackers.representation_similarity import RepresentationSimilarity, analyzer
from miscope.views.shared.pace import of_turns
from miscope.views.shared.sites import Kind, index_of


def table(
    similarity: RepresentationSimilarity,
    context: Context,
    *,
    site: Kind = "resid_post",
    layer: int = -1,
    is_debiased: bool = True,
) -> pd.DataFrame:
    """One row per two steps; `similarity` is linear CKA, at most 1."""
    at = index_of(similarity.site, site, layer)
    values = (similarity.debiased_cka if is_debiased else similarity.cka)[at]
    if np.isnan(values).all():
        raise NotApplicable(f"The probe's inputs are all the same at {site}.")
    found = long("similarity", values, other_step=similarity.steps, step=similarity.steps)
    chance = "debiased, 0 by chance" if is_debiased else f"{similarity.gaussian_cka[at]:.2g} between Gaussians"
    found.attrs |= {"limits": {"similarity": (min(0.0, float(np.nanmin(values))), 1.0)}, "note": f"{site}; {chance}"}
    found.attrs["null"] = of_turns(similarity, at)
    return found


view = View(
    question="Which stretches of training share a representation?",
    reading="Similarity of a site's representation at every two checkpoints. A bright block on the diagonal is a "
    "stretch in which it rests, the edge of a block is when it changes; rotations and scale do not count as change.",
    needs=analyzer,
    table=table,
    draw=heatmap(
        "step", "other_step", "similarity", height=430,
        titles={"other_step": "other step", "similarity": "similarity (linear CKA)"},
    ),
)  # fmt: skip
