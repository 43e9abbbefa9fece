"""Shows how far out the landscape is the parabola that its Hessian says."""

import numpy as np
import pandas as pd

from miscope.analyzers.loss_landscape import LossLandscape, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.tidy import long, over_steps


def table(landscape: Artifact[LossLandscape], context: Context) -> pd.DataFrame:
    """One row per (distance, step); `ratio` of the mean rise to distance^2 trace / (2 parameters), where both rise."""
    rise = landscape.stack("rise").mean(axis=1)
    first = landscape[landscape.steps[0]]
    trace = over_steps(landscape, "trace")
    expected = first.distance**2 * trace / (2 * first.n_parameters)
    is_bowl = (rise > 0) & (expected > 0)
    ratio = np.divide(rise, expected, out=np.full_like(rise, np.nan), where=is_bowl).T
    names = [f"distance {distance:g}" for distance in first.distance]
    found = long("ratio", ratio, distance=names, step=landscape.steps)
    found.attrs["marks"] = {"parabola": 1.0}
    return found


view = View(
    question="How far out is the landscape a parabola?",
    reading="1: at this distance the loss rises as the Hessian says. Far above, the loss grows faster than a parabola, "
    "and sharpness at the network says little of what lies there. On a logarithmic axis.",
    needs=analyzer,
    table=table,
    draw=lines("step", "ratio", "distance", log_y=True, markers=True, titles={"ratio": "rise / parabola's rise"}),
)
