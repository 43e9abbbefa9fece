"""Shows when the right answers move against one another, and when all of them drift."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.core import Context, NotApplicable, View
from miscope.renderers import lines
from miscope.trackers.centroid_trajectory import CentroidTrajectory, analyzer
from miscope.views.shared.pace import of_moves
from miscope.views.shared.sites import TONES, names, of_layer
from miscope.views.shared.trajectory import middles

MOTIONS = ("against one another", "all together")


def table(trajectory: CentroidTrajectory, context: Context, *, layer: int = -1) -> pd.DataFrame:
    """One row per (motion, site, interval); `speed` is a distance in activation space per step."""
    sites = [i for i in of_layer(trajectory.site, layer) if trajectory.speed[i].any()]
    if not sites:
        raise NotApplicable("The right answers do not move against one another.")
    values = np.stack([trajectory.speed[sites], trajectory.centre_speed[sites]])
    at = middles(trajectory.steps)
    found = long("speed", values, motion=MOTIONS, site=names(trajectory.site, sites), step=at)
    found = found[found["speed"] > 0].reset_index(drop=True)  # the axis is logarithmic
    found.attrs["tones"] = TONES
    is_cloud = np.isfinite(trajectory.fit[sites[-1]])  # where all answers are one point, rounding moves them
    gaps, is_move = np.diff(trajectory.steps), is_cloud[1:] & is_cloud[:-1]
    moves = trajectory.speed[sites[-1]] * gaps
    found.attrs["null"] = of_moves("longest move of the answers", moves[is_move], gaps[is_move])
    return found


view = View(
    question="When do the right answers move?",
    reading="Root mean square speed of the centroids, drawn at the middle of each interval. Above, what parts the "
    "answers or brings them together; below, the drift of all, which parts none.",
    needs=analyzer,
    table=table,
    draw=lines("step", "speed", "site", "motion", log_y=True, titles={"speed": "distance per step"}),
)
