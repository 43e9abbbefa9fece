"""Shows the way of the chains at one step: whether they have settled, and whether they agree."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.local_learning_coefficient import LocalLearningCoefficient, analyzer
from miscope.core import Artifact, Context, NotApplicable, View
from miscope.renderers import lines
from miscope.views.shared.coefficients import RAN_AWAY, against_untrained


def table(coefficient: Artifact[LocalLearningCoefficient], context: Context, step: int) -> pd.DataFrame:
    """One row per (chain, draw); `llc` is what that draw alone would say. Of the last step measured up to `step`."""
    measured = coefficient.last_by(step)
    output = coefficient[measured]
    values = np.where(np.isfinite(output.trace), output.trace, np.nan)
    if not np.isfinite(values).any():
        raise NotApplicable(f"At step {measured:,} {RAN_AWAY}.")
    n_chains, n_draws = values.shape
    names = [f"chain {i + 1}" for i in range(n_chains)]
    found = long("llc", values, chain=names, draw=np.arange(1, n_draws + 1))
    seen = np.concatenate([other.trace[np.isfinite(other.trace)] for other in coefficient.values()])
    doubts = "; ".join(output.doubts) or "nothing speaks against it"
    found.attrs |= {
        "limits": {"llc": (min(0.0, float(seen.min())), float(seen.max()) or 1.0)},
        "note": f"measured at step {measured:,}, the first {output.n_burn_in} draws left out: {doubts}",
        "null": against_untrained("mean of the chains", coefficient, measured),
    }
    return found


view = View(
    question="Have the chains settled, and do they agree?",
    reading="What each draw of each chain would say of the coefficient. Chains that level off at one height, long "
    "before the end, can be believed; a climb that goes on, or chains at different heights, cannot.",
    needs=analyzer,
    table=table,
    draw=lines("draw", "llc", "chain", titles={"llc": "n beta (loss - loss at the network)"}),
)
