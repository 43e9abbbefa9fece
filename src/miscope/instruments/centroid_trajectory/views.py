"""The paths of the right answers' centroids, how fast they go, and how much of them the fixed axes show."""

import numpy as np
import pandas as pd
from jaxtyping import Int

from miscope.instruments._shared.curves import COLORS, by_layer
from miscope.instruments._shared.sites import Kind, index_of, names, of_layer
from miscope.instruments.centroid_trajectory.measure import CentroidTrajectory
from miscope.plugin import Context, MiscopeError, NotApplicable, Table, lines, long, points, view

MOST = 40  # answers drawn, so that the lines can be told apart


@view(
    question="Which paths do the centroids of the right answers take?",
    reading="One line per right answer, from its centroid at the first checkpoint (hollow) to the last (filled), "
    "relative to the centre of all, coloured by its final angle. The axes are fitted once to all of training, so a "
    "turn of the path is real.",
    draw=points("x", "y", "direction", "answer", group="answer", titles={"direction": "direction<br>at the end"}),
)
def overview(
    trajectory: CentroidTrajectory,
    context: Context,
    *,
    site: Kind = "resid_post",
    layer: int = -1,
    components: tuple[int, int] = (1, 2),
    answers: tuple[int, ...] = (),
) -> Table:
    """One row per (answer, step); `x` and `y` are scores of the centroid in the two components, numbered from 1.

    `direction` is where in the plane the answer ends, in degrees. Without `answers` at most 40 are drawn, evenly.
    """
    at, steps, label = index_of(trajectory.site, site, layer), trajectory.steps, trajectory.label
    coordinate, shares = trajectory.coordinate[at], trajectory.explained_variance[at]
    if len(components) != 2 or not all(1 <= c <= coordinate.shape[2] for c in components):
        raise MiscopeError(f"`components` = {components}; allowed: two of 1 to {coordinate.shape[2]}.")
    if np.isnan(shares[0]):
        raise NotApplicable(f"All right answers are one point at {site}.")
    rows = _chosen(label, answers)
    x, y = (coordinate[:, rows, c - 1].T for c in components)  # [answer step]
    end = np.degrees(np.arctan2(y[:, -1], x[:, -1])) % 360
    of_answers = {"answer": label[rows], "direction": end.astype(np.float32)}
    repeated = {name: np.repeat(values, len(steps)) for name, values in of_answers.items()}
    return Table(
        pd.DataFrame({"x": x.ravel(), "y": y.ravel(), **repeated, "step": np.tile(steps, len(rows))}),
        titles={axis: f"PC{c} ({shares[c - 1]:.0%} of the variance)" for axis, c in zip("xy", components, strict=True)},
        limits={"direction": (0.0, 360.0)},
        note=site if len(rows) == len(label) else f"{site}; {len(rows)} of {len(label)} answers",
        when="",
    )


def _chosen(label: Int[np.ndarray, " cls"], answers: tuple[int, ...]) -> Int[np.ndarray, " row"]:
    """Rows of the answers."""
    if not answers:
        return np.linspace(0, len(label) - 1, min(MOST, len(label))).round().astype(int)
    missing = [answer for answer in answers if answer not in label]
    if missing:
        raise MiscopeError(f"`answers` = {answers}; {missing[0]} is no right answer of two inputs or more.")
    return np.flatnonzero(np.isin(label, answers))


@view(
    question="When do the centroids lie in their final directions?",
    reading="The share of the centroids' variance at each checkpoint that lies in the principal components of all "
    "checkpoints. Where it is low, the drawn paths show little of the motion. Where it rises before the loss falls, "
    "the directions are there before the answers are right.",
    draw=lines("step", "fit", "site", "layer", titles={"fit": "share of variance in the axes"}),
)
def fit(trajectory: CentroidTrajectory, context: Context) -> Table:
    """One row per (layer, site, step); `fit` is the share of the checkpoint's variance in the fixed axes, in [0, 1]."""
    return Table(
        by_layer("fit", trajectory.fit, trajectory.site, trajectory.steps),
        colors=COLORS,
        limits={"fit": (0.0, 1.03)},
        note=f"{trajectory.coordinate.shape[3]} components",
    )


@view(
    question="When do the centroids of the right answers move?",
    reading="Root mean square speed of the centroids, drawn at the middle of each interval. Top: motion relative to "
    "their centre, which separates the answers or brings them together. Bottom: motion of the centre, which separates "
    "none.",
    draw=lines("step", "speed", "site", "motion", log_y=True, titles={"speed": "distance per step"}),
)
def speed(trajectory: CentroidTrajectory, context: Context, *, layer: int = -1) -> Table:
    """One row per (motion, site, interval); `speed` is a distance in activation space per step."""
    sites = [i for i in of_layer(trajectory.site, layer) if trajectory.speed[i].any()]
    if not sites:
        raise NotApplicable("The right answers do not move against one another.")
    values = np.stack([trajectory.speed[sites], trajectory.centre_speed[sites]])
    motions, middles = ("against one another", "all together"), (trajectory.steps[:-1] + trajectory.steps[1:]) / 2
    rows = long("speed", values, motion=motions, site=names(trajectory.site, sites), step=middles)
    return Table(rows[rows["speed"] > 0].reset_index(drop=True), colors=COLORS)  # the axis is logarithmic
