"""Shows how steep the loss is around the network, over training."""

import numpy as np
import pandas as pd

from miscope.analyzers.loss_landscape import LossLandscape, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.tidy import long


def table(landscape: Artifact[LossLandscape], context: Context) -> pd.DataFrame:
    """One row per (distance, step) at which it is above 0; `rise` of the train loss in nats, mean over directions."""
    rise = landscape.stack("rise").mean(axis=1).T
    first = landscape[landscape.steps[0]]
    names = [f"distance {distance:g}" for distance in first.distance]
    found = long("rise", np.where(rise > 0, rise, np.nan), distance=names, step=landscape.steps)
    norms = [f"{landscape[step].weight_norm:.0f}" for step in (landscape.steps[0], landscape.steps[-1])]
    found.attrs["note"] = f"{len(first.rise)} directions; the weights' norm goes from {norms[0]} to {norms[1]}"
    return found


view = View(
    question="How steeply does the loss rise around the network?",
    reading="The mean rise of the train loss a few distances away in random directions, the same at every step, on a "
    "logarithmic axis. Flat minima are low at every distance. As weights shrink, the same distance is a larger part of "
    "them. Where the mean does not rise, there is no point.",
    needs=analyzer,
    table=table,
    draw=lines("step", "rise", "distance", log_y=True, markers=True, titles={"rise": "rise of the loss (nats)"}),
)
