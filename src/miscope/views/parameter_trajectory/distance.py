"""Shows how far the weights are from where they began."""

import pandas as pd

from miscope.core import Context, View
from miscope.renderers import lines
from miscope.trackers.parameter_trajectory import ParameterTrajectory, analyzer
from miscope.views.tidy import long


def table(trajectory: ParameterTrajectory, context: Context) -> pd.DataFrame:
    """One row per (group, step); `distance` is the L2 norm from the first checkpoint."""
    found = long("distance", trajectory.distance, group=trajectory.group, step=trajectory.steps)
    found.attrs["limits"] = {"distance": (0.0, 1.05 * float(trajectory.distance.max()))}
    return found


view = View(
    question="How far do the weights travel from their initialisation?",
    reading="The L2 distance from the first checkpoint, whole and by group of matrices. A flat stretch is a "
    "plateau; a fall means that the weights come back towards where they began.",
    needs=analyzer,
    table=table,
    draw=lines("step", "distance", "group", titles={"distance": "distance (L2 norm)"}),
)
