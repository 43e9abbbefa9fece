"""Shows whether the estimates may be believed: do chains agree, do they still move, are steps short enough?"""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long, over_steps

from miscope.analyzers.local_learning_coefficient import (
    MOST_DRIFT,
    MOST_ERROR,
    MOST_HEAT,
    MOST_R_HAT,
    LocalLearningCoefficient,
    analyzer,
)
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import nulls

SAMPLER = "these are checks of the sampler and not of the network; the line is the most that they allow"


def table(coefficient: Artifact[LocalLearningCoefficient], context: Context) -> pd.DataFrame:
    """One row per (check, step); `doubt` is each number over what it may be: above 1 the estimate is in doubt.

    Of the temperature it is the distance from 1. A failed estimate has no row.
    """
    r_hat, drift, temperature, error, value = over_steps(
        coefficient, "r_hat", "drift", "temperature", "standard_error", "estimate"
    ).T
    checks = {
        "chains disagree": (r_hat - 1) / (MOST_R_HAT - 1),
        "drift": np.abs(drift) / MOST_DRIFT,
        "noise": error / np.maximum(np.abs(value), 1e-300) / MOST_ERROR,
        "temperature": np.abs(temperature - 1) / MOST_HEAT,
    }
    values = np.stack(list(checks.values()))
    found = long("doubt", np.where(np.isfinite(values), values, np.nan), check=tuple(checks), step=coefficient.steps)
    negative = [f"{step:,}" for step, o in coefficient.items() if o.estimate is None or o.estimate <= 0]
    found.attrs |= {"marks": {"allowed": 1.0}, "null": nulls.none(SAMPLER)}
    found.attrs["note"] = f"negative or failed at steps {', '.join(negative)}" if negative else "none is negative"
    return found


view = View(
    question="May the estimates of the learning coefficient be believed?",
    reading="Each check as a part of what is allowed: above the line the estimate of that step is in doubt. Chains "
    "that disagree or drift want more draws; a temperature off 1 wants more draws where it is below, or a smaller "
    "`step_size` where it is above.",
    needs=analyzer,
    table=table,
    draw=lines("step", "doubt", "check", markers=True, titles={"doubt": "part of what is allowed"}),
)
