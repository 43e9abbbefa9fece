"""Shows whether the path has more structure than a random walk: explained variance beside that null.

Source: the null is Antognini and Sohl-Dickstein 2018, arXiv:1806.08805.
"""

from typing import Literal

import numpy as np
import pandas as pd

from miscope.core import Context, View
from miscope.renderers import bars
from miscope.trackers.parameter_trajectory import ParameterTrajectory, analyzer
from miscope.views.tidy import long
from miscope.views.trajectory import index_of

TONES = {"this path": "#0072B2", "random walk": "#BDBDBD"}


def table(
    trajectory: ParameterTrajectory, context: Context, *, group: Literal["all", "embedding", "attention", "mlp"] = "all"
) -> pd.DataFrame:
    """One row per (path, component); `explained_variance` is a share of the path's variance, in [0, 1]."""
    found = trajectory.explained_variance[index_of(trajectory, group)]
    null = trajectory.random_walk_variance
    table = long(
        "explained_variance", np.stack([found, null]), path=tuple(TONES), component=np.arange(1, len(found) + 1)
    )
    table.attrs |= {"limits": {"explained_variance": (0.0, 1.0)}, "tones": TONES, "when": ""}
    table.attrs["note"] = _sentence(found, null)
    return table


def _sentence(found: np.ndarray, null: np.ndarray) -> str:
    """Whether the first two components hold more than those of a random walk."""
    two, chance = float(found[:2].sum()), float(null[:2].sum())
    verdict = "more than" if two > chance + 0.02 else "less than" if two < chance - 0.02 else "about as much as"
    return f"two components hold {two:.0%}, {verdict} the {chance:.0%} of a random walk"


view = View(
    question="Does the path have more structure than a random walk?",
    reading="Blue: the share of the path's variance in each component; grey: what a long random walk in high "
    "dimension gives. Only the difference is evidence.",
    needs=analyzer,
    table=table,
    draw=bars("component", "explained_variance", "path", is_stacked=False),
)
