"""Shows how large the weights are as a whole, and how far they are from where they began."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.renderers import lines, theme
from miscope.trackers.weight_norms import WeightNorms, analyzer
from miscope.views.shared.norms import WALK, verdict_on_all


def table(norms: WeightNorms, context: Context) -> pd.DataFrame:
    """One row per (measure, step); `size` is an L2 norm over all weights."""
    sizes = np.stack([norms.norm[0], norms.distance[0], norms.walk[0]])
    found = long("size", sizes, measure=("norm", "distance from initialisation", WALK), step=norms.steps)
    found.attrs |= {"limits": {"size": (0.0, 1.05 * float(sizes.max()))}, "tones": {WALK: theme.GREY}}
    found.attrs["null"] = verdict_on_all(norms, context)
    return found


view = View(
    question="How large are the weights, and how far from where they began?",
    reading="The norm of all weights and the L2 norm of their change since the first checkpoint. A norm that falls "
    "is weight decay at work. A distance that picks up speed while the loss is flat is progress that the loss does not "
    "show. Grey: the distance if no change between checkpoints had to do with those before; weight decay, too, leads "
    "further than that.",
    needs=analyzer,
    table=table,
    draw=lines("step", "size", "measure", titles={"size": "L2 norm"}),
)
