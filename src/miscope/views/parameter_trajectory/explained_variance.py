"""Shows whether the path has more structure than a random walk: explained variance beside that null.

Source: Antognini and Sohl-Dickstein 2018, arXiv:1806.08805 (what a random walk gives).
"""

from typing import Literal

import numpy as np
import pandas as pd
from miscope.trackers.parameter_trajectory import ParameterTrajectory, analyzer
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.renderers import bars, theme
from miscope.views.shared.trajectory import WALK, index_of, of_components, walks

TONES = {"this path": theme.PALETTE[0], WALK: theme.GREY}


def table(
    trajectory: ParameterTrajectory, context: Context, *, group: Literal["all", "embedding", "attention", "mlp"] = "all"
) -> pd.DataFrame:
    """One row per (path, component); `explained_variance` is a share of the path's variance, in [0, 1]."""
    g = index_of(trajectory, group)
    found = trajectory.explained_variance[g]
    both = np.stack([found, walks(trajectory, g).shares[:, : len(found)].mean(axis=0)])
    table = long("explained_variance", both, path=tuple(TONES), component=np.arange(1, len(found) + 1))
    table.attrs |= {"limits": {"explained_variance": (0.0, 1.0)}, "tones": TONES, "when": ""}
    table.attrs["note"] = "all parameters" if group == "all" else f"{group} parameters"
    table.attrs["null"] = of_components(trajectory, g, (1, 2)[: len(found)])
    return table


view = View(
    question="Does the path have more structure than a random walk?",
    reading="Blue: the share of the path's variance in each component; grey: the mean of random walks whose moves are "
    "as long, and that shrink as much.",
    needs=analyzer,
    table=table,
    draw=bars("component", "explained_variance", "path", is_stacked=False),
)
