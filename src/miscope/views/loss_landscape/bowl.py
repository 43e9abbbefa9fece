"""Shows how far out the landscape is the parabola that its Hessian says."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.loss_landscape import LossLandscape, analyzer
from miscope.core import Artifact, Context, View
from miscope.maths.null_distributions import multiple_of_noise
from miscope.renderers import lines
from miscope.views.shared import nulls
from miscope.views.shared.landscape import mean_rise, names_of_distances, parabola, standard_error


def table(landscape: Artifact[LossLandscape], context: Context) -> pd.DataFrame:
    """One row per (distance, step); `ratio` of the mean rise to distance^2 trace / (2 parameters), where both rise."""
    rise, expected = mean_rise(landscape), parabola(landscape)
    is_bowl = (rise > 0) & (expected > 0)
    ratio = np.divide(rise, expected, out=np.full_like(rise, np.nan), where=is_bowl)
    found = long("ratio", ratio.T, distance=names_of_distances(landscape), step=landscape.steps)
    found.attrs |= {"marks": {"parabola": 1.0}, "null": _verdict(landscape, ratio)}
    return found


def _verdict(landscape: Artifact[LossLandscape], ratio: np.ndarray) -> str:
    """Whether the last step is further from a parabola than the untrained network, at the longest distance."""
    if landscape.steps[0] != 0:
        return nulls.none(nulls.NO_START)
    start, end = landscape[landscape.steps[0]], landscape[landscape.steps[-1]]
    at = int(start.distance.argmax())
    if not np.isfinite(ratio[[0, -1], at]).all():
        return nulls.none("at the first or the last step the loss does not rise, or its Hessian's trace is below 0")
    error = np.hypot(_relative_error(start, at), _relative_error(end, at))
    return nulls.against(
        f"rise at distance {start.distance[at]:g} over that of the parabola",
        ratio[-1, at],
        max(1.0, ratio[0, at]) * (1 + multiple_of_noise(len(start.rise) - 1) * error),
        "the untrained network, at the 99 % end of their errors",
    )


def _relative_error(output: LossLandscape, at: int) -> float:
    """Of the rise over that of the parabola: by the directions and by the trace's random vectors."""
    return float(np.hypot(standard_error(output)[at] / output.rise.mean(axis=0)[at], output.trace_error / output.trace))


view = View(
    question="How far out is the landscape a parabola?",
    reading="1: at this distance the loss rises as the Hessian says. Far above, the loss grows faster than a parabola, "
    "and sharpness at the network says little of what lies there. On a logarithmic axis.",
    needs=analyzer,
    table=table,
    draw=lines("step", "ratio", "distance", log_y=True, markers=True, titles={"ratio": "rise / parabola's rise"}),
)
