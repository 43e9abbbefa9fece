"""Shows where the path of the weights bends."""

import pandas as pd

from miscope.core import Context, View
from miscope.renderers import lines
from miscope.trackers.parameter_trajectory import ParameterTrajectory, analyzer
from miscope.views.tidy import long


def table(trajectory: ParameterTrajectory, context: Context) -> pd.DataFrame:
    """One row per (group, inner step); `straightness` is the cosine between the moves before and after that step."""
    found = long("straightness", trajectory.turning, group=trajectory.group, step=trajectory.steps[1:-1])
    found.attrs |= {"limits": {"straightness": (-1.05, 1.05)}, "marks": {"right angle": 0.0}}
    return found


view = View(
    question="Where does the path of the weights bend?",
    reading="1: the next move goes straight on; 0: at a right angle, as in a random walk; -1: it goes back.",
    needs=analyzer,
    table=table,
    draw=lines("step", "straightness", "group", titles={"straightness": "cosine of successive moves"}),
)
