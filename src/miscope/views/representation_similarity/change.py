"""Shows when each site's representation changes fastest."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import joined, long

from miscope.core import Context, NotApplicable, View
from miscope.renderers import lines
from miscope.trackers.representation_similarity import RepresentationSimilarity, analyzer
from miscope.views.shared.pace import of_turns
from miscope.views.shared.sites import TONES, by_layer, names
from miscope.views.shared.trajectory import middles


def table(similarity: RepresentationSimilarity, context: Context) -> pd.DataFrame:
    """One row per (layer, site, interval); `turn` between neighbours, in degrees per 1,000 steps.

    An interval in which nothing changes has no row: the axis is logarithmic.
    """
    if len(similarity.steps) < 2:
        raise NotApplicable("A change needs two checkpoints at least.")
    turn = np.where(similarity.turn > 0, similarity.turn, np.nan) * 1000 / np.diff(similarity.steps)
    if not (turn > 0).any():
        raise NotApplicable("No representation changes between checkpoints.")
    layers, at = by_layer(similarity.site), middles(similarity.steps)
    parts = [long("turn", turn[sites], site=names(similarity.site, sites), step=at) for sites in layers.values()]
    found = joined(parts, list(layers), "layer")
    found.attrs |= {"tones": TONES, "null": of_turns(similarity, len(similarity.site) - 1)}
    return found


view = View(
    question="When does each representation change fastest?",
    reading="The angle between a site's similarities of inputs at neighbouring checkpoints, per 1,000 steps, drawn at "
    "the middle of the interval. Rotations and scale do not count; 90 degrees leave nothing in common.",
    needs=analyzer,
    table=table,
    draw=lines("step", "turn", "site", "layer", log_y=True, titles={"turn": "degrees per 1,000 steps"}),
)
