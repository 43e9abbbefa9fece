"""Shows how steep the loss is around the network, over training."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.loss_landscape import LossLandscape, analyzer
from miscope.core import Artifact, Context, View
from miscope.maths.null_distributions import multiple_of_noise
from miscope.renderers import lines
from miscope.views.shared import nulls
from miscope.views.shared.landscape import mean_rise, names_of_distances, standard_error


def table(landscape: Artifact[LossLandscape], context: Context) -> pd.DataFrame:
    """One row per (distance, step) at which it is above 0; `rise` of the train loss in nats, mean over directions."""
    rise = mean_rise(landscape)
    shown = np.where(rise > 0, rise, np.nan).T
    found = long("rise", shown, distance=names_of_distances(landscape), step=landscape.steps)
    first, last = (landscape[step] for step in (landscape.steps[0], landscape.steps[-1]))
    norms = f"{first.weight_norm:.0f} to {last.weight_norm:.0f}"
    found.attrs["note"] = f"{len(first.rise)} directions; the weights' norm goes from {norms}"
    found.attrs["null"] = _verdict(landscape, rise)
    return found


def _verdict(landscape: Artifact[LossLandscape], rise: np.ndarray) -> str:
    """Whether the mean direction ever rises by more than single ones do around the untrained network."""
    if landscape.steps[0] != 0:
        return nulls.none(nulls.NO_START)
    start = landscape[landscape.steps[0]]
    at, n = int(start.distance.argmax()), len(start.rise)
    peak = int(rise[:, at].argmax())
    one = standard_error(start)[at] * np.sqrt(n + 1)  # the error of a prediction of one more direction
    return nulls.against(
        f"rise at distance {start.distance[at]:g}, at its highest (step {landscape.steps[peak]:,}),",
        rise[peak, at],
        rise[0, at] + multiple_of_noise(n - 1) * one,
        "99 % of directions around the untrained network",
    )


view = View(
    question="How steeply does the loss rise around the network?",
    reading="The mean rise of the train loss a few distances away in random directions, the same at every step, on a "
    "logarithmic axis. Flat minima are low at every distance. As weights shrink, the same distance is a larger part of "
    "them. Where the mean does not rise, there is no point.",
    needs=analyzer,
    table=table,
    draw=lines("step", "rise", "distance", log_y=True, markers=True, titles={"rise": "rise of the loss (nats)"}),
)
