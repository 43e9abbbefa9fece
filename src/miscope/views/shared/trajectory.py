"""A path of weights: its scores in chosen principal components, and what a random walk of the same moves would show."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from miscope.core import NotApplicable
from miscope.maths.checkpoints import time_weights
from miscope.maths.geometry import cosines
from miscope.maths.null_distributions import RARE
from miscope.maths.walks import random_walks, shares
from miscope.trackers.parameter_trajectory import ParameterTrajectory
from miscope.views.shared import nulls
from miscope.views.shared.tidy import once

WALK = "random walk"


def scores(trajectory: ParameterTrajectory, group: str, components: tuple[int, ...]) -> pd.DataFrame:
    """One row per step with columns `x`, `y` (and `z`); axis titles with the variance that each component explains."""
    found = pd.DataFrame({"step": trajectory.steps})
    titles, g, n = {}, index_of(trajectory, group), trajectory.coordinate.shape[2]
    for axis, component in zip("xyz", components, strict=False):
        if not 1 <= component <= n:
            raise NotApplicable(f"component {component} is not there; allowed: 1 to {n}.")
        found[axis] = trajectory.coordinate[g, :, component - 1]
        titles[axis] = f"PC{component} ({trajectory.explained_variance[g, component - 1]:.1%} of the variance)"
    found.attrs |= {"titles": titles, "when": "", "null": of_components(trajectory, g, components)}
    found.attrs["note"] = "all parameters" if group == "all" else f"{group} parameters"
    return found


def index_of(trajectory: ParameterTrajectory, group: str) -> int:
    if group not in trajectory.group:
        raise NotApplicable(f"This network has no `{group}` parameters; it has {', '.join(trajectory.group)}.")
    return trajectory.group.index(group)


def middles(steps: np.ndarray) -> np.ndarray:
    """The middle of each interval between checkpoints."""
    return (steps[:-1] + steps[1:]) / 2


# ---------------------------------------------------------------- what a random walk would show


class Sideways(NamedTuple):
    """A path without what shrinks or enlarges the first weights as they are, which weight decay does."""

    moves: Float[np.ndarray, " interval"]  # lengths
    distance: Float[np.ndarray, " n"]  # from the first checkpoint
    cosines: Float[np.ndarray, " corner"]  # of successive moves; those of a move of length 0 left out


def sideways(trajectory: ParameterTrajectory, g: int) -> Sideways:
    radial, whole = trajectory.radial[g], trajectory.speed[g] * np.diff(trajectory.steps)
    along = np.diff(radial)
    squares = np.clip(whole**2 - along**2, 0, None)
    squares[squares <= 1e-9 * whole**2] = 0  # rounding
    dots = np.nan_to_num(trajectory.turning[g]) * whole[:-1] * whole[1:] - along[:-1] * along[1:]
    found = cosines(dots, squares[:-1], squares[1:])
    distance = np.sqrt(np.clip(trajectory.distance[g] ** 2 - radial**2, 0, None))
    return Sideways(np.sqrt(squares), distance, found[np.isfinite(found)])


def walked(moves: Float[np.ndarray, " interval"]) -> Float[np.ndarray, " n"]:
    """The distance of a random walk from its start, in many dimensions: the root of the sum of the squared moves."""
    return np.sqrt(np.append(0, np.cumsum(moves**2)))


def farthest(distance: Float[np.ndarray, " n"], moves: Float[np.ndarray, " interval"]) -> float:
    """The largest multiple that the distance ever is of a random walk's; NaN where nothing moves."""
    walk = walked(moves)
    is_there = walk > 0
    return float((distance[is_there] / walk[is_there]).max()) if is_there.any() else float("nan")


class Walks(NamedTuple):
    """What random walks show whose moves are as long as those of a path, and that shrink as it does."""

    shares: Float[np.ndarray, "draw component"]  # of variance
    farthest: Float[np.ndarray, " draw"]


@once
def walks(trajectory: ParameterTrajectory, g: int) -> Walks:
    """Seeded draws, for one group of matrices."""
    moves, weights = sideways(trajectory, g).moves, time_weights(trajectory.steps)
    found = [
        (shares(points, weights), farthest(np.linalg.norm(points[:, :-1], axis=1), moves))
        for points in random_walks(moves, trajectory.radial[g])
    ]
    return Walks(np.array([one for one, _ in found]), np.array([one for _, one in found]))


def of_components(trajectory: ParameterTrajectory, g: int, components: tuple[int, ...]) -> str:
    """Whether the components, numbered from 1, hold more of the path's variance than those of random walks do."""
    at = [component - 1 for component in components]
    found, drawn = trajectory.explained_variance[g, at].sum(), walks(trajectory, g).shares[:, at].sum(axis=1)
    if not trajectory.speed[g].any():
        return nulls.none("these weights do not move")
    what = f"share of {', '.join(f'PC{component}' for component in components)}"
    source = "99 % of random walks that move and shrink as much"
    null = float(np.quantile(drawn, 1 - RARE)) + 1e-9  # rounding, where both are whole
    return nulls.against(what, float(found), null, source, text=nulls.percent)
