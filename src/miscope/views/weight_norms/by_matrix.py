"""Shows which weight matrices grow, shrink and move, over training."""

import pandas as pd
from miscope.views.shared.tidy import joined

from miscope.core import Context, View
from miscope.renderers import lines
from miscope.trackers.weight_norms import WeightNorms, analyzer
from miscope.views.shared.norms import of_matrices, verdict


def table(norms: WeightNorms, context: Context) -> pd.DataFrame:
    """One row per (measure, matrix, step); `size` is an L2 norm. Biases and norms' scales are in the total alone."""
    parts = [of_matrices(norms, field).rename(columns={field: "size"}) for field in ("norm", "distance")]
    found = joined(parts, ("norm", "distance from initialisation"), "measure")
    found.attrs["limits"] = {"size": (0.0, 1.05 * float(found["size"].max()))}
    found.attrs["null"] = verdict(norms, "distance", context)
    return found


view = View(
    question="Which matrices grow, and which ones move?",
    reading="Above: the Frobenius norm of each matrix; below: the L2 norm of its change since the first checkpoint. "
    "A matrix may go far without growing, by turning.",
    needs=analyzer,
    table=table,
    draw=lines("step", "size", "matrix", "measure", titles={"size": "L2 norm"}, labelled=True),
)
