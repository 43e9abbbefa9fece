"""Shows the path of the weights through parameter space, in its own principal components."""

from typing import Literal

import pandas as pd
from miscope.trackers.parameter_trajectory import ParameterTrajectory, analyzer

from miscope.core import Context, MiscopeError, View
from miscope.renderers import path
from miscope.views.shared.trajectory import scores


def table(
    trajectory: ParameterTrajectory,
    context: Context,
    *,
    group: Literal["all", "embedding", "attention", "mlp"] = "all",
    components: tuple[int, int] = (1, 2),
) -> pd.DataFrame:
    """One row per step; `x` and `y` are PCA scores, in the L2 norm of parameters. Components are numbered from 1."""
    if len(components) != 2:
        raise MiscopeError(f"`components` = {components}; allowed: two of them, such as 1, 2.")
    return scores(trajectory, group, components)


view = View(
    question="Which path do the weights take through parameter space?",
    reading="Each point is a checkpoint, dark to bright in time. The axes hold as much of the path's variance as "
    "they say. A random walk draws a smooth arc as well.",
    needs=analyzer,
    table=table,
    draw=path("x", "y"),
)
