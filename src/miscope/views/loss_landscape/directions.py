"""Shows whether the loss rises alike in all random directions at one step."""

import numpy as np
import pandas as pd

from miscope.analyzers.loss_landscape import LossLandscape, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.tidy import long


def table(landscape: Artifact[LossLandscape], context: Context, step: int) -> pd.DataFrame:
    """One row per (distance, rank), from the flattest direction to the steepest; `rise` in nats, where it is above 0.

    Of the last step measured up to `step`.
    """
    measured = landscape.last_by(step)
    output = landscape[measured]
    rise = np.sort(output.rise, axis=0)
    names = [f"distance {distance:g}" for distance in output.distance]
    found = long("rise", np.where(rise > 0, rise, np.nan).T, distance=names, rank=np.arange(1, len(rise) + 1))
    every = landscape.stack("rise")
    found.attrs["limits"] = {"rise": (float(every[every > 0].min()) / 1.2, float(every.max()) * 1.2)}
    found.attrs["note"] = f"measured at step {measured:,}; down in {(rise <= 0).mean():.0%} of directions and distances"
    return found


view = View(
    question="Does the loss rise alike in all directions?",
    reading="Random directions, sorted. A level curve is a landscape that is the same all around; one that climbs at "
    "the right has a few steep directions. On a logarithmic axis; directions that lead down have no point.",
    needs=analyzer,
    table=table,
    draw=lines(
        "rank", "rise", "distance", log_y=True,
        titles={"rank": "direction, from the flattest", "rise": "rise of the loss (nats)"},
    ),
)  # fmt: skip
