"""Shows whether the network is at a minimum or on a saddle."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import over_steps

from miscope.analyzers.loss_landscape import LossLandscape, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import nulls


def table(landscape: Artifact[LossLandscape], context: Context) -> pd.DataFrame:
    """One row per step; `ratio` of the least eigenvalue found to the top one. Lanczos sees the least less exactly."""
    top, least = over_steps(landscape, "top_eigenvalue", "least_eigenvalue").T
    ratio = np.divide(least, np.abs(top), out=np.zeros_like(top), where=top != 0)
    found = pd.DataFrame({"step": landscape.steps, "ratio": ratio})
    found.attrs |= {"marks": {"minimum": 0.0}}
    found.attrs["null"] = nulls.against_untrained("depth below 0, with its error,", landscape, _depth, is_lower=True)
    return found


def _depth(output: LossLandscape) -> float:
    """How far below 0 the least eigenvalue may lie, as a part of the top one."""
    return (output.least_error - output.least_eigenvalue) / abs(output.top_eigenvalue or np.nan)


view = View(
    question="Is the network at a minimum or on a saddle?",
    reading="The least eigenvalue of the Hessian as a part of the top one. At 0 no direction leads down; well below "
    "0 one does, and training has not settled. The true least may lie lower than what Lanczos has found.",
    needs=analyzer,
    table=table,
    draw=lines("step", "ratio", markers=True, titles={"ratio": "least eigenvalue / top eigenvalue"}),
)
