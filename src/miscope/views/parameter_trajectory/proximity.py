"""Shows whether groups of matrices follow the same path in time."""

import pandas as pd

from miscope.core import Context, View
from miscope.renderers import heatmap
from miscope.trackers.parameter_trajectory import ParameterTrajectory, analyzer
from miscope.views.tidy import long


def table(trajectory: ParameterTrajectory, context: Context) -> pd.DataFrame:
    """One row per pair of groups; `proximity` is the linear CKA of their paths, in [0, 1]."""
    found = long("proximity", trajectory.proximity, group=trajectory.group, other=trajectory.group)
    found.attrs |= {"limits": {"proximity": (0.0, 1.0)}, "titles": {"group": " ", "other": " "}, "when": ""}
    return found


view = View(
    question="Do the parts of the network move together?",
    reading="1: two groups of matrices change at the same times in the same proportions; 0: their paths have "
    "nothing in common. `all` contains the others.",
    needs=analyzer,
    table=table,
    draw=heatmap("other", "group", "proximity", is_square=True, height=340, titles={"proximity": "linear CKA"}),
)
