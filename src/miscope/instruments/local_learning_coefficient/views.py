"""How the local learning coefficient goes in training, and which of its estimates may be believed."""

import numpy as np

from miscope.instruments._shared import curves
from miscope.instruments.local_learning_coefficient.measure import (
    MOST_DRIFT,
    MOST_ERROR,
    MOST_HEAT,
    MOST_R_HAT,
    RAN_AWAY,
    LocalLearningCoefficient,
)
from miscope.plugin import Artifact, Context, NotApplicable, Table, lines, long, over_steps, view

COLORS = curves.colors_of("estimate", "2 standard errors")


@view(
    question="How degenerate is the minimum?",
    reading="The fewer directions near the weights change the loss, the lower the coefficient. A fall means that the "
    "network becomes simpler, a rise that it becomes more complex. The view `diagnostics` says why an estimate is in "
    "doubt; a negative estimate is not at a minimum.",
    draw=lines("step", "llc", "curve", markers=True, titles={"llc": "local learning coefficient"}),
)
def overview(coefficient: Artifact[LocalLearningCoefficient], context: Context) -> Table:
    """One row per (curve, step); `llc` is the estimate, or two standard errors from it. Failed ones have no row."""
    value, error = over_steps(coefficient, "estimate", "standard_error").T
    if not np.isfinite(value).any():
        raise NotApplicable(f"At every step looked at, {RAN_AWAY}.")
    doubted = [f"{step:,}" for step, output in coefficient.items() if output.doubts]
    note = f"in doubt at steps {', '.join(doubted)}" if doubted else "no estimate is in doubt"
    rows = long("llc", curves.around(value, 2 * error), curve=tuple(COLORS), step=coefficient.steps)
    return Table(rows, colors=COLORS, marks={"none": 0.0}, note=note)


@view(
    question="Have the sampling chains converged, and do they agree?",
    reading="The estimate of the coefficient from each draw of each chain. Trust chains that level off at the same "
    "height long before the end; do not trust chains that keep rising, or that end at different heights.",
    draw=lines("draw", "llc", "chain", titles={"llc": "n beta (loss - loss at the network)"}),
)
def chains(coefficient: Artifact[LocalLearningCoefficient], context: Context, step: int) -> Table:
    """One row per (chain, draw); `llc` is what that draw alone would say. Of the last step measured up to `step`."""
    measured = coefficient.last_by(step)
    output = coefficient[measured]
    values = np.where(np.isfinite(output.trace), output.trace, np.nan)
    if np.isnan(values).all():
        raise NotApplicable(f"At step {measured:,} {RAN_AWAY}.")
    seen = np.concatenate([other.trace[np.isfinite(other.trace)] for other in coefficient.values()])
    names, draws = [f"chain {i + 1}" for i in range(len(values))], np.arange(1, values.shape[1] + 1)
    doubts = "; ".join(output.doubts) or "nothing speaks against it"
    note = f"measured at step {measured:,}, the first {output.n_burn_in} draws left out: {doubts}"
    limits = {"llc": (min(0.0, float(seen.min())), float(seen.max()) or 1.0)}
    return Table(long("llc", values, chain=names, draw=draws), limits=limits, note=note)


@view(
    question="Are the estimates of the learning coefficient reliable?",
    reading="Each check as a fraction of what is allowed: above the line, the estimate of that step is in doubt. If "
    "chains disagree or drift, use more draws. If the temperature is below 1, use more draws; if it is above, a "
    "smaller `step_size`.",
    draw=lines("step", "doubt", "check", markers=True, titles={"doubt": "part of what is allowed"}),
)
def diagnostics(coefficient: Artifact[LocalLearningCoefficient], context: Context) -> Table:
    """One row per (check, step); `doubt` is each number (the temperature's distance from 1) over what it may be."""
    names = ("r_hat", "drift", "temperature", "standard_error", "estimate")
    r_hat, drift, temperature, error, value = over_steps(coefficient, *names).T
    checks = {
        "chains disagree": (r_hat - 1) / (MOST_R_HAT - 1),
        "drift": np.abs(drift) / MOST_DRIFT,
        "noise": error / np.maximum(np.abs(value), 1e-300) / MOST_ERROR,
        "temperature": np.abs(temperature - 1) / MOST_HEAT,
    }
    values = np.stack(list(checks.values()))
    values[~np.isfinite(values)] = np.nan
    negative = [f"{step:,}" for step, o in coefficient.items() if o.estimate is None or o.estimate <= 0]
    note = f"negative or failed at steps {', '.join(negative)}" if negative else "none is negative"
    return Table(long("doubt", values, check=tuple(checks), step=coefficient.steps), marks={"allowed": 1.0}, note=note)
