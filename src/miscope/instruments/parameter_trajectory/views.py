"""The path of the weights: where it leads, how fast and how straight, beside random walks with the same moves."""

from typing import Literal

import numpy as np
import pandas as pd

from miscope.instruments._shared.curves import from_zero
from miscope.instruments.parameter_trajectory.measure import ParameterTrajectory
from miscope.plugin import Context, MiscopeError, NotApplicable, Table, long, theme, view
from miscope.renderers import bars, heatmap, lines, path, path_3d

Group = Literal["all", "embedding", "attention", "mlp"]
Three = tuple[int, int, int]
WALK = "random walk"
COLORS = {"this path": theme.PALETTE[0], WALK: theme.GREY}


@view(
    question="Which path do the weights take through parameter space?",
    reading="Each point is a checkpoint, from dark to bright in time. The axis titles give each component's share of "
    "the path's variance. A random walk draws a smooth arc as well.",
    draw=path("x", "y"),
)
def overview(
    trajectory: ParameterTrajectory, context: Context, *, group: Group = "all", components: tuple[int, int] = (1, 2)
) -> Table:
    """One row per step; `x` and `y` are PCA scores, in the L2 norm of parameters. Components are numbered from 1."""
    if len(components) != 2:
        raise MiscopeError(f"`components` = {components}; allowed: two of them, such as 1, 2.")
    return _scores(trajectory, group, components)


@view(
    question="When does the path move along each component?",
    reading="The score of each principal component over time, with its share of the variance. A random walk gives half "
    "a period of a cosine, a whole one, and so on.",
    draw=lines("step", "score", "component", titles={"score": "score (L2 norm)"}),
)
def components(trajectory: ParameterTrajectory, context: Context, *, group: Group = "all", n: int = 3) -> Table:
    """One row per (component, step); `score` in the L2 norm of parameters."""
    g = _index(trajectory, group)
    values, shares = trajectory.coordinate[g, :, :n].T, trajectory.explained_variance[g, :n]
    names = [f"PC{i} ({share:.0%})" for i, share in enumerate(shares, start=1)]
    return Table(long("score", values, component=names, step=trajectory.steps), note=_parameters(group))


@view(
    question="How far do the weights move from their initialisation?",
    reading="The L2 distance from the first checkpoint, of all weights and by group of matrices. A flat part is a "
    "plateau; a fall means that the weights return towards their start. Grey: a random walk with the same step lengths "
    "and the same shrinking.",
    draw=lines("step", "distance", "group", titles={"distance": "distance (L2 norm)"}),
)
def distance(trajectory: ParameterTrajectory, context: Context) -> Table:
    """One row per (group, step); `distance` is the L2 norm from the first checkpoint. The walk has the moves of all."""
    distances = np.vstack([trajectory.distance, trajectory.walk_distance])
    rows = long("distance", distances, group=(*trajectory.group, WALK), step=trajectory.steps)
    return from_zero("distance", rows, colors={WALK: theme.GREY})


@view(
    question="Does the path have more structure than a random walk?",
    reading="Blue: the share of the path's variance in each component. Grey: the mean of random walks with the same "
    "step lengths and the same shrinking.",
    draw=bars("component", "explained_variance", "path", is_stacked=False),
)
def explained_variance(trajectory: ParameterTrajectory, context: Context, *, group: Group = "all") -> Table:
    """One row per (path, component); `explained_variance` is a share of the path's variance, in [0, 1]."""
    g = _index(trajectory, group)
    both = np.stack([trajectory.explained_variance[g], trajectory.walk_share[g]])
    rows = long("explained_variance", both, path=tuple(COLORS), component=np.arange(1, both.shape[1] + 1))
    return Table(rows, limits={"explained_variance": (0.0, 1.0)}, colors=COLORS, when="", note=_parameters(group))


@view(
    question="Do the parts of the network move together?",
    reading="1: two groups of matrices change at the same times in the same proportions; 0: their paths have "
    "nothing in common. `all` contains the others.",
    draw=heatmap("other", "group", "proximity", is_square=True, height=340, titles={"proximity": "linear CKA"}),
)
def proximity(trajectory: ParameterTrajectory, context: Context) -> Table:
    """One row per pair of groups; `proximity` is the linear CKA of their paths, in [0, 1]."""
    rows = long("proximity", trajectory.proximity, group=trajectory.group, other=trajectory.group)
    return Table(rows, limits={"proximity": (0.0, 1.0)}, titles={"group": " ", "other": " "}, when="")


@view(
    question="When do the weights move fast, and which weights?",
    reading="The distance between neighbouring checkpoints divided by the steps between them, on a logarithmic axis. "
    "Peaks after the first descent are reorganisations. Long gaps between checkpoints hide motion back and forth, and "
    "look slower.",
    draw=lines("step", "speed", "group", log_y=True, titles={"speed": "L2 norm per step"}),
)
def speed(trajectory: ParameterTrajectory, context: Context) -> Table:
    """One row per (group, interval); `speed` is the L2 norm moved per training step, `step` the interval's middle."""
    middles = (trajectory.steps[:-1] + trajectory.steps[1:]) / 2
    return Table(long("speed", trajectory.speed, group=trajectory.group, step=middles))


@view(
    question="Which path do the weights take in three dimensions?",
    reading="Each point is a checkpoint, from dark to bright in time; drag to turn. A random walk draws a smooth "
    "spiral as well.",
    draw=path_3d("x", "y", "z"),
)
def three_d(
    trajectory: ParameterTrajectory, context: Context, *, group: Group = "all", components: Three = (1, 2, 3)
) -> Table:
    """One row per step; `x`, `y`, `z` are PCA scores, in the L2 norm of parameters. Components are numbered from 1."""
    if len(components) != 3:
        raise MiscopeError(f"`components` = {components}; allowed: three of them, such as 1, 2, 3.")
    return _scores(trajectory, group, components)


@view(
    question="Where does the path of the weights turn?",
    reading="The cosine of the angle between successive moves. 1: straight on; 0: a right angle, as in a random walk; "
    "-1: back.",
    draw=lines("step", "straightness", "group", titles={"straightness": "cosine of successive moves"}),
)
def turning(trajectory: ParameterTrajectory, context: Context) -> Table:
    """One row per (group, inner step); `straightness` is the cosine between the moves before and after that step."""
    rows = long("straightness", trajectory.turning, group=trajectory.group, step=trajectory.steps[1:-1])
    return Table(rows, limits={"straightness": (-1.05, 1.05)}, marks={"right angle": 0.0})


def _scores(trajectory: ParameterTrajectory, group: str, components: tuple[int, ...]) -> Table:
    """One row per step with columns `x`, `y` (and `z`); axis titles with the variance that each component explains."""
    rows = pd.DataFrame({"step": trajectory.steps})
    titles, g, n = {}, _index(trajectory, group), trajectory.coordinate.shape[2]
    for axis, component in zip("xyz", components, strict=False):
        if not 1 <= component <= n:
            raise NotApplicable(f"component {component} is not there; allowed: 1 to {n}.")
        rows[axis] = trajectory.coordinate[g, :, component - 1]
        titles[axis] = f"PC{component} ({trajectory.explained_variance[g, component - 1]:.1%} of the variance)"
    return Table(rows, titles=titles, when="", note=_parameters(group))


def _index(trajectory: ParameterTrajectory, group: str) -> int:
    if group not in trajectory.group:
        raise NotApplicable(f"This network has no `{group}` parameters; it has {', '.join(trajectory.group)}.")
    return trajectory.group.index(group)


def _parameters(group: str) -> str:
    return "all parameters" if group == "all" else f"{group} parameters"
