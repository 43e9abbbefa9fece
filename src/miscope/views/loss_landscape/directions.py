"""Shows whether the loss rises alike in all random directions at one step."""

import numpy as np
import pandas as pd
from miscope.views.shared.guessing import deviates
from miscope.views.shared.tidy import long

from miscope.analyzers.loss_landscape import LossLandscape, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import nulls
from miscope.views.shared.landscape import names_of_distances


def table(landscape: Artifact[LossLandscape], context: Context, step: int) -> pd.DataFrame:
    """One row per (distance, rank), from the flattest direction to the steepest; `rise` in nats, where it is above 0.

    Of the last step measured up to `step`.
    """
    measured = landscape.last_by(step)
    rise = np.sort(landscape[measured].rise, axis=0)
    rank = np.arange(1, len(rise) + 1)
    found = long("rise", np.where(rise > 0, rise, np.nan).T, distance=names_of_distances(landscape), rank=rank)
    every = landscape.stack("rise")
    found.attrs["limits"] = {"rise": (float(every[every > 0].min()) / 1.2, float(every.max()) * 1.2)}
    found.attrs["note"] = f"measured at step {measured:,}"
    found.attrs["null"] = _verdict(landscape, measured)
    return found


def _verdict(landscape: Artifact[LossLandscape], step: int) -> str:
    """Whether more directions lead up than at a slope, where half do, and than in the untrained network."""
    first = landscape[landscape.steps[0]]
    is_untrained = landscape.steps[0] == 0
    slope = max(0.5, _share_up(first)) if is_untrained else 0.5
    luck = deviates() * np.sqrt(2 * 0.25 / len(first.rise))  # by which two shares of so many differ at most
    source = f"{'the untrained network or ' if is_untrained else ''}a slope, in 99 % of draws"
    up = _share_up(landscape[step])
    return nulls.against(
        "directions and distances that lead up", up, min(1.0, slope + luck), source, text=nulls.percent
    )


def _share_up(output: LossLandscape) -> float:
    return float((output.rise > 0).mean())


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
