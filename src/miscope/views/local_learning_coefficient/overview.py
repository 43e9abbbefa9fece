"""Shows how the local learning coefficient goes in training, and which of its estimates are in doubt."""

import numpy as np
import pandas as pd

from miscope.analyzers.local_learning_coefficient import LocalLearningCoefficient, analyzer
from miscope.core import Artifact, Context, NotApplicable, View
from miscope.renderers import lines, theme
from miscope.views.tidy import long, over_steps

TONES = {"estimate": theme.PALETTE[0], "+ 2 standard errors": theme.PALE, "- 2 standard errors": theme.PALE}


def table(coefficient: Artifact[LocalLearningCoefficient], context: Context) -> pd.DataFrame:
    """One row per (curve, step); `llc` is the estimate, or two standard errors from it. Failed ones have no row."""
    value, error = over_steps(coefficient, "estimate", "standard_error").T
    if not np.isfinite(value).any():
        raise NotApplicable("At every step looked at, the chains ran away: set a shorter `step_size`.")
    found = long(
        "llc", np.stack([value, value + 2 * error, value - 2 * error]), curve=tuple(TONES), step=coefficient.steps
    )
    doubted = [f"{step:,}" for step, output in coefficient.items() if output.doubts]
    found.attrs |= {"tones": TONES, "marks": {"none": 0.0}}
    found.attrs["note"] = f"in doubt at steps {', '.join(doubted)}" if doubted else "no estimate is in doubt"
    return found


view = View(
    question="How degenerate is the minimum that the network is in?",
    reading="The fewer directions the loss cares for nearby, the lower the coefficient. A fall says that the network "
    "has become simpler, a rise that it has taken something up. Of estimates in doubt, the view `diagnostics` "
    "says why; one that is negative is at no minimum.",
    needs=analyzer,
    table=table,
    draw=lines("step", "llc", "curve", markers=True, titles={"llc": "local learning coefficient"}),
)
