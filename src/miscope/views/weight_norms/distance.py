"""Shows how far the one weight that moved most has gone, in each matrix.

Source: Barak et al. 2022, arXiv:2207.08799 (rho, the L-infinity distance from the initialisation).
"""

import pandas as pd

from miscope.core import Context, View
from miscope.renderers import lines
from miscope.trackers.weight_norms import WeightNorms, analyzer
from miscope.views.shared.norms import of_matrices, verdict


def table(norms: WeightNorms, context: Context) -> pd.DataFrame:
    """One row per (matrix, step); `largest_change` since the first checkpoint, in units of weights."""
    found = of_matrices(norms, "largest_change")
    found.attrs["limits"] = {"largest_change": (0.0, 1.05 * float(found["largest_change"].max()))}
    found.attrs["null"] = verdict(norms, "largest_change", context)
    return found


view = View(
    question="How far has the weight that moved most gone?",
    reading="The largest change of any one weight of each matrix since the first checkpoint. Curves that leave the "
    "others on a plateau of the loss are matrices that have found the signal.",
    needs=analyzer,
    table=table,
    draw=lines("step", "largest_change", "matrix", titles={"largest_change": "largest change"}, labelled=True),
)
