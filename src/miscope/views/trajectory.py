"""The scores of a path of weights in chosen principal components."""

import numpy as np
import pandas as pd

from miscope.core import NotApplicable
from miscope.trackers.parameter_trajectory import ParameterTrajectory


def scores(trajectory: ParameterTrajectory, group: str, components: tuple[int, ...]) -> pd.DataFrame:
    """One row per step with columns `x`, `y` (and `z`); axis titles with the variance that each component explains."""
    found = pd.DataFrame({"step": trajectory.steps})
    titles, g, n = {}, index_of(trajectory, group), trajectory.coordinate.shape[2]
    for axis, component in zip("xyz", components, strict=False):
        if not 1 <= component <= n:
            raise NotApplicable(f"component {component} is not there; allowed: 1 to {n}.")
        found[axis] = trajectory.coordinate[g, :, component - 1]
        titles[axis] = f"PC{component} ({trajectory.explained_variance[g, component - 1]:.1%} of the variance)"
    found.attrs |= {"titles": titles, "when": ""}
    found.attrs["note"] = "all parameters" if group == "all" else f"{group} parameters"
    return found


def index_of(trajectory: ParameterTrajectory, group: str) -> int:
    if group not in trajectory.group:
        raise NotApplicable(f"This network has no `{group}` parameters; it has {', '.join(trajectory.group)}.")
    return trajectory.group.index(group)


def middles(steps: np.ndarray) -> np.ndarray:
    """The middle of each interval between checkpoints."""
    return (steps[:-1] + steps[1:]) / 2
