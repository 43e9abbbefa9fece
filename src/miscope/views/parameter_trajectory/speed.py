"""Shows how fast the weights move, by group of matrices."""

import numpy as np
import pandas as pd
from miscope.trackers.parameter_trajectory import ParameterTrajectory, analyzer
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.renderers import lines
from miscope.views.shared.pace import of_moves
from miscope.views.shared.trajectory import middles, sideways


def table(trajectory: ParameterTrajectory, context: Context) -> pd.DataFrame:
    """One row per (group, interval); `speed` is the L2 norm moved per training step, `step` the interval's middle."""
    found = long("speed", trajectory.speed, group=trajectory.group, step=middles(trajectory.steps))
    moves = sideways(trajectory, 0).moves  # of all; shrinking slows down by itself
    found.attrs["null"] = of_moves("longest move", moves, np.diff(trajectory.steps))
    return found


view = View(
    question="When do the weights move fast, and which ones?",
    reading="The distance between neighbouring checkpoints over the steps between them; the axis is logarithmic. "
    "Peaks after the first descent are reorganisations. Gaps of many steps hide back-and-forth motion and look "
    "slower.",
    needs=analyzer,
    table=table,
    draw=lines("step", "speed", "group", log_y=True, titles={"speed": "L2 norm per step"}),
)
