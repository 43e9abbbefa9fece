"""Shows how far the weights are from where they began."""

import numpy as np
import pandas as pd
from miscope.trackers.parameter_trajectory import ParameterTrajectory, analyzer
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.maths.null_distributions import RARE
from miscope.renderers import lines, theme
from miscope.views.shared import nulls
from miscope.views.shared.trajectory import WALK, farthest, sideways, walked, walks


def table(trajectory: ParameterTrajectory, context: Context) -> pd.DataFrame:
    """One row per (group, step); `distance` is the L2 norm from the first checkpoint.

    The random walk has the moves of all parameters, and shrinks as they do.
    """
    walk = np.hypot(trajectory.radial[0], walked(sideways(trajectory, 0).moves))
    distances = np.vstack([trajectory.distance, walk])
    found = long("distance", distances, group=(*trajectory.group, WALK), step=trajectory.steps)
    found.attrs |= {
        "limits": {"distance": (0.0, 1.05 * float(distances.max()))},
        "tones": {WALK: theme.GREY},
        "null": _verdict(trajectory),
    }
    return found


def _verdict(trajectory: ParameterTrajectory) -> str:
    """The distance of all parameters where it is most beyond a random walk's; what shrinks them is left out."""
    path = sideways(trajectory, 0)
    return nulls.against(
        "largest multiple of a random walk's distance, shrinking aside,",
        farthest(path.distance, path.moves),
        float(np.quantile(walks(trajectory, 0).farthest, 1 - RARE)),
        "99 % of random walks of the same moves",
    )


view = View(
    question="How far do the weights travel from their initialisation?",
    reading="The L2 distance from the first checkpoint, whole and by group of matrices. A flat stretch is a "
    "plateau; a fall means that the weights come back towards where they began. Grey: a random walk of the same moves "
    "as all, that shrinks as much.",
    needs=analyzer,
    table=table,
    draw=lines("step", "distance", "group", titles={"distance": "distance (L2 norm)"}),
)
