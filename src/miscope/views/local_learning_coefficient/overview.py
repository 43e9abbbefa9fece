"""Shows how the local learning coefficient goes in training, and which of its estimates are in doubt."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long, over_steps

from miscope.analyzers.local_learning_coefficient import LocalLearningCoefficient, analyzer
from miscope.core import Artifact, Context, NotApplicable, View
from miscope.renderers import lines
from miscope.views.shared import bounds, nulls
from miscope.views.shared.coefficients import RAN_AWAY, against_untrained

TONES = bounds.tones("estimate", "2 standard errors")


def table(coefficient: Artifact[LocalLearningCoefficient], context: Context) -> pd.DataFrame:
    """One row per (curve, step); `llc` is the estimate, or two standard errors from it. Failed ones have no row."""
    value, error = over_steps(coefficient, "estimate", "standard_error").T
    if not np.isfinite(value).any():
        raise NotApplicable(f"At every step looked at, {RAN_AWAY}.")
    found = long("llc", bounds.around(value, 2 * error), curve=tuple(TONES), step=coefficient.steps)
    doubted = [f"{step:,}" for step, output in coefficient.items() if output.doubts]
    found.attrs |= {"tones": TONES, "marks": {"none": 0.0}, "null": _verdict(coefficient)}
    found.attrs["note"] = f"in doubt at steps {', '.join(doubted)}" if doubted else "no estimate is in doubt"
    return found


def _verdict(coefficient: Artifact[LocalLearningCoefficient]) -> str:
    """Whether the network has ever taken up more than it had untrained, by estimates that are not in doubt."""
    believed = {step: o.estimate for step, o in coefficient.items() if step and o.estimate is not None and not o.doubts}
    if not believed:
        return nulls.none("no estimate of a step after 0 is free of doubt")
    peak = max(believed, key=believed.__getitem__)
    return against_untrained(f"coefficient, at its highest free of doubt (step {peak:,}),", coefficient, peak)


view = View(
    question="How degenerate is the minimum that the network is in?",
    reading="The fewer directions the loss cares for nearby, the lower the coefficient. A fall says that the network "
    "has become simpler, a rise that it has taken something up. Of estimates in doubt, the view `diagnostics` "
    "says why; one that is negative is at no minimum.",
    needs=analyzer,
    table=table,
    draw=lines("step", "llc", "curve", markers=True, titles={"llc": "local learning coefficient"}),
)
