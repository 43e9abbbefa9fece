"""Shows the path of the weights in three principal components."""

from typing import Literal

import pandas as pd
from miscope.trackers.parameter_trajectory import ParameterTrajectory, analyzer

from miscope.core import Context, MiscopeError, View
from miscope.renderers import path_3d
from miscope.views.shared.trajectory import scores


def table(
    trajectory: ParameterTrajectory,
    context: Context,
    *,
    group: Literal["all", "embedding", "attention", "mlp"] = "all",
    components: tuple[int, int, int] = (1, 2, 3),
) -> pd.DataFrame:
    """One row per step; `x`, `y`, `z` are PCA scores, in the L2 norm of parameters. Components are numbered from 1."""
    if len(components) != 3:
        raise MiscopeError(f"`components` = {components}; allowed: three of them, such as 1, 2, 3.")
    return scores(trajectory, group, components)


view = View(
    question="Which path do the weights take, seen in space?",
    reading="Each point is a checkpoint, dark to bright in time; turn it with the mouse. A random walk draws a smooth "
    "spiral as well.",
    needs=analyzer,
    table=table,
    draw=path_3d("x", "y", "z"),
)
