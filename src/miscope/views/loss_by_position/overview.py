"""Shows when a network begins to use its context."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import over_steps

from miscope.analyzers.loss_by_position import LossByPosition, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import nulls

MARGIN = 2.0  # one untrained network's score is beyond twice another's range less than once in 100


def table(losses: Artifact[LossByPosition], context: Context) -> pd.DataFrame:
    """One row per step; `score` in nats, below 0 where more context helps."""
    found = pd.DataFrame({"step": losses.steps, "score": over_steps(losses, "score")[:, 0]}).dropna(ignore_index=True)
    found.attrs |= {"marks": {"no use of context": 0.0}, "null": _verdict(losses)}
    return found


def _verdict(losses: Artifact[LossByPosition]) -> str:
    """By how much tenths of the positions differ before training: some hold the same token always, some average over
    more, and each is asked of few inputs.
    """
    score = losses[losses.steps[-1]].score
    if losses.steps[0] != 0:
        return nulls.none(nulls.NO_START)
    if score is None:
        return nulls.none("fewer than two positions have test inputs")
    first = losses[0].test_loss[np.isfinite(losses[0].test_loss)]
    n = max(1, len(first) // 10)
    null = 0.0 - MARGIN * float(np.ptp(np.convolve(first, np.full(n, 1 / n), "valid")))
    source = f"the range of tenths of the positions before training with a margin of {MARGIN:g}"
    return nulls.against("in-context-learning score", score, null, source, is_lower=True)


view = View(
    question="When does the network begin to use its context?",
    reading="In-context-learning score: the test loss at the last tenth of the positions minus that at the first "
    "tenth. At 0 context is worth nothing; the further below, the more.",
    needs=analyzer,
    table=table,
    draw=lines("step", "score", titles={"score": "in-context-learning score (nats)"}),
)
