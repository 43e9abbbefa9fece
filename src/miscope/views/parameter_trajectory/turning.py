"""Shows where the path of the weights bends."""

import pandas as pd
from miscope.trackers.parameter_trajectory import ParameterTrajectory, analyzer
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.maths.walks import straightness_of_coins
from miscope.renderers import lines
from miscope.views.shared import nulls
from miscope.views.shared.trajectory import sideways


def table(trajectory: ParameterTrajectory, context: Context) -> pd.DataFrame:
    """One row per (group, inner step); `straightness` is the cosine between the moves before and after that step."""
    found = long("straightness", trajectory.turning, group=trajectory.group, step=trajectory.steps[1:-1])
    found.attrs |= {"limits": {"straightness": (-1.05, 1.05)}, "marks": {"right angle": 0.0}}
    found.attrs["null"] = _verdict(trajectory)
    return found


def _verdict(trajectory: ParameterTrajectory) -> str:
    """The mean over the path of all parameters, without what shrinks them: that goes straight on by itself."""
    cosines = sideways(trajectory, 0).cosines
    if not len(cosines):
        return nulls.none("there are no two successive moves to compare")
    what, source = "mean cosine of all, shrinking aside,", "99 % of paths whose moves go on or back by a coin"
    return nulls.against(what, float(cosines.mean()), straightness_of_coins(cosines), source)


view = View(
    question="Where does the path of the weights bend?",
    reading="1: the next move goes straight on; 0: at a right angle, as in a random walk; -1: it goes back.",
    needs=analyzer,
    table=table,
    draw=lines("step", "straightness", "group", titles={"straightness": "cosine of successive moves"}),
)
