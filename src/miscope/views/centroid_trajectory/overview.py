"""Shows the paths that the right answers take in one fixed plane."""

import numpy as np
import pandas as pd

from miscope.core import Context, MiscopeError, NotApplicable, View
from miscope.renderers.points import points
from miscope.trackers.centroid_trajectory import CentroidTrajectory, analyzer
from miscope.views.shared import nulls
from miscope.views.shared.sites import Kind, index_of

MARGIN = nulls.MARGIN**2  # two matrices or more make the distance, and each may be larger
MOST = 40  # answers drawn, so that the lines can be told apart


def table(
    trajectory: CentroidTrajectory,
    context: Context,
    *,
    site: Kind = "resid_post",
    layer: int = -1,
    components: tuple[int, int] = (1, 2),
    answers: tuple[int, ...] = (),
) -> pd.DataFrame:
    """One row per (answer, step); `x` and `y` are scores of the centroid in the two components, numbered from 1.

    `direction` is where in the plane the answer ends, in degrees. Without `answers` at most 40 are drawn, evenly spread
    over all.
    """
    at = index_of(trajectory.site, site, layer)
    n = trajectory.coordinate.shape[3]
    if len(components) != 2 or not all(1 <= c <= n for c in components):
        raise MiscopeError(f"`components` = {components}; allowed: two of 1 to {n}.")
    if np.isnan(trajectory.explained_variance[at, 0]):
        raise NotApplicable(f"All right answers are one point at {site}.")
    rows = _chosen(trajectory.label, answers)
    x, y = (trajectory.coordinate[at][:, rows, c - 1].T.ravel() for c in components)
    n_steps = len(trajectory.steps)
    end = np.degrees(np.arctan2(y[n_steps - 1 :: n_steps], x[n_steps - 1 :: n_steps])) % 360
    columns = {"answer": trajectory.label[rows], "direction": end.astype(np.float32)}
    repeated = {name: np.repeat(values, n_steps) for name, values in columns.items()}
    found = pd.DataFrame({"x": x, "y": y, **repeated, "step": np.tile(trajectory.steps, len(rows))})
    shares = trajectory.explained_variance[at]
    titles = {axis: f"PC{c} ({shares[c - 1]:.0%} of the variance)" for axis, c in zip("xy", components, strict=True)}
    shown = "" if len(rows) == len(trajectory.label) else f"; {len(rows)} of {len(trajectory.label)} answers"
    found.attrs |= {"titles": titles, "when": "", "limits": {"direction": (0.0, 360.0)}, "note": f"{site}{shown}"}
    found.attrs["null"] = _verdict(trajectory, at)
    return found


def _verdict(trajectory: CentroidTrajectory, at: int) -> str:
    """How far the answers are apart at the end: the network before training holds them in a heap."""
    if trajectory.steps[0] != 0:
        return nulls.none(nulls.NO_START)
    inside = (trajectory.coordinate[at].astype(np.float64) ** 2).sum(axis=2).mean(axis=1)
    start, end = np.sqrt(np.nan_to_num(inside / trajectory.fit[at])[[0, -1]])  # NaN: all answers are one point
    source = f"the untrained network with a margin of {MARGIN:g}"
    return nulls.against("distance of the answers from their centre", end, start * MARGIN, source)


def _chosen(label: np.ndarray, answers: tuple[int, ...]) -> np.ndarray:
    """Rows of the answers."""
    if not answers:
        return np.linspace(0, len(label) - 1, min(MOST, len(label))).round().astype(int)
    missing = [answer for answer in answers if answer not in label]
    if missing:
        raise MiscopeError(f"`answers` = {answers}; {missing[0]} is no right answer of two inputs or more.")
    return np.flatnonzero(np.isin(label, answers))


view = View(
    question="Which paths do the right answers take?",
    reading="One line per right answer, from its centroid at the first checkpoint (hollow) to the last (full), about "
    "the centre of all, coloured by where it ends. The axes are fitted once to all of training, so a turn is real.",
    needs=analyzer,
    table=table,
    draw=points("x", "y", "direction", "answer", group="answer", titles={"direction": "direction<br>at the end"}),
)
