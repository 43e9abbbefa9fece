"""Shows the principal components of the weights' path as functions of time."""

from typing import Literal

import pandas as pd
from miscope.trackers.parameter_trajectory import ParameterTrajectory, analyzer
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.renderers import lines
from miscope.views.shared.trajectory import index_of, of_components


def table(
    trajectory: ParameterTrajectory,
    context: Context,
    *,
    group: Literal["all", "embedding", "attention", "mlp"] = "all",
    n: int = 3,
) -> pd.DataFrame:
    """One row per (component, step); `score` in the L2 norm of parameters."""
    g = index_of(trajectory, group)
    values, shares = trajectory.coordinate[g, :, :n].T, trajectory.explained_variance[g, :n]
    names = [f"PC{i} ({share:.0%})" for i, share in enumerate(shares, start=1)]
    found = long("score", values, component=names, step=trajectory.steps)
    found.attrs["note"] = "all parameters" if group == "all" else f"{group} parameters"
    found.attrs["null"] = of_components(trajectory, g, tuple(range(1, len(names) + 1)))
    return found


view = View(
    question="When does the path move along each component?",
    reading="The score of each principal component over time, with its share of the variance. A random walk gives "
    "half a cosine, a whole one, and so on.",
    needs=analyzer,
    table=table,
    draw=lines("step", "score", "component", titles={"score": "score (L2 norm)"}),
)
