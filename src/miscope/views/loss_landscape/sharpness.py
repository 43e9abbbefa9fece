"""Shows how strongly the loss bends: the top eigenvalue and the trace of its Hessian."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long, over_steps

from miscope.analyzers.loss_landscape import LossLandscape, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import bounds, nulls

TONES = bounds.tones("value", "error")
MARGIN = 2 * nulls.MARGIN  # the sharpest of eight small untrained networks has 1.8 times the flattest's top eigenvalue


def table(landscape: Artifact[LossLandscape], context: Context) -> pd.DataFrame:
    """One row per (measure, curve, step) above 0: the value, and its bounds.

    The bounds are Lanczos' error, and two standard errors of the trace.
    """
    top, top_error, trace, trace_error = over_steps(
        landscape, "top_eigenvalue", "top_error", "trace", "trace_error"
    ).T  # fmt: skip
    values = np.stack([bounds.around(top, top_error), bounds.around(trace, 2 * trace_error)])
    found = long(
        "curvature", np.where(values > 0, values, np.nan), measure=("top eigenvalue", "trace"), curve=tuple(TONES),
        step=landscape.steps,
    )  # fmt: skip
    peak = landscape.steps[int(top.argmax())]
    found.attrs |= {"tones": TONES, "note": _note(landscape)}
    found.attrs["null"] = nulls.against_untrained(
        f"top eigenvalue, at its highest (step {peak:,}),", landscape, lambda o: o.top_eigenvalue, peak, margin=MARGIN
    )
    return found


def _note(landscape: Artifact[LossLandscape]) -> str:
    n_unsure = sum(not output.is_converged for output in landscape.values())
    if n_unsure:
        return f"the top eigenvalue is not converged at {n_unsure} of {len(landscape)} steps"
    return f"converged in at most {max(output.n_products for output in landscape.values())} products"


view = View(
    question="How sharp is the minimum that the network is in?",
    reading="The top eigenvalue is the bend along the steepest direction, the trace the sum over all; on a logarithmic "
    "axis, with bounds in grey. Full-batch gradient descent of rate r cannot stay where the top is above 2 / r.",
    needs=analyzer,
    table=table,
    draw=lines("step", "curvature", "curve", "measure", log_y=True, titles={"curvature": " "}),
)
