"""Shows how strongly the loss bends: the top eigenvalue and the trace of its Hessian."""

import numpy as np
import pandas as pd

from miscope.analyzers.loss_landscape import LossLandscape, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines, theme
from miscope.views.tidy import long, over_steps

TONES = {"value": theme.PALETTE[0], "bound": theme.PALE, "other bound": theme.PALE}


def table(landscape: Artifact[LossLandscape], context: Context) -> pd.DataFrame:
    """One row per (measure, curve, step) above 0: the value, and its bounds.

    The bounds are Lanczos' error, and two standard errors of the trace.
    """
    top, top_error, trace, trace_error = over_steps(
        landscape, "top_eigenvalue", "top_error", "trace", "trace_error"
    ).T  # fmt: skip
    values = np.stack(
        [
            [top, top + top_error, top - top_error],
            [trace, trace + 2 * trace_error, trace - 2 * trace_error],
        ]
    )
    found = long(
        "curvature", np.where(values > 0, values, np.nan), measure=("top eigenvalue", "trace"), curve=tuple(TONES),
        step=landscape.steps,
    )  # fmt: skip
    unsure = [step for step, output in landscape.items() if not output.is_converged]
    found.attrs |= {"tones": TONES}
    found.attrs["note"] = (
        f"the top eigenvalue is not converged at {len(unsure)} of {len(landscape)} steps"
        if unsure
        else f"converged in at most {max(output.n_products for output in landscape.values())} products"
    )
    return found


view = View(
    question="How sharp is the minimum that the network is in?",
    reading="The top eigenvalue is the bend along the steepest direction, the trace the sum over all; on a logarithmic "
    "axis, with bounds in grey. Full-batch gradient descent of rate r cannot stay where the top is above 2 / r.",
    needs=analyzer,
    table=table,
    draw=lines("step", "curvature", "curve", "measure", log_y=True, titles={"curvature": " "}),
)
