"""Shows when a network begins to use its context."""

import pandas as pd

from miscope.analyzers.loss_by_position import LossByPosition, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.tidy import over_steps


def table(losses: Artifact[LossByPosition], context: Context) -> pd.DataFrame:
    """One row per step; `score` in nats, below 0 where more context helps."""
    found = pd.DataFrame({"step": losses.steps, "score": over_steps(losses, "score")[:, 0]}).dropna(ignore_index=True)
    found.attrs["marks"] = {"no use of context": 0.0}
    return found


view = View(
    question="When does the network begin to use its context?",
    reading="In-context-learning score: the test loss at the last tenth of the positions minus that at the first "
    "tenth. At 0, the null, context is worth nothing; the further below, the more.",
    needs=analyzer,
    table=table,
    draw=lines("step", "score", titles={"score": "in-context-learning score (nats)"}),
)
