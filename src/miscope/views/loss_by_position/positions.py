"""Shows the loss along the context, at one step."""

import numpy as np
import pandas as pd

from miscope.analyzers.loss_by_position import LossByPosition, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.tidy import joined, once


def table(losses: Artifact[LossByPosition], context: Context, step: int) -> pd.DataFrame:
    """One row per (split, position); `loss` in nats."""
    found = losses[step]
    parts = [pd.DataFrame({"position": found.position, "loss": y}) for y in (found.train_loss, found.test_loss)]
    table = joined([part.dropna() for part in parts], ["train", "test"], "split")
    table.attrs["limits"] = {"loss": (0.0, _largest(losses))}
    return table


@once
def _largest(losses: Artifact[LossByPosition]) -> float:
    """Of all steps, so that the axis stands still when they play."""
    return 1.05 * float(np.nanmax([losses.stack("train_loss"), losses.stack("test_loss")]))


view = View(
    question="At which positions does the network know what comes next?",
    reading="Mean loss at each position of the context. A curve that falls to the right reads what came before; a flat "
    "one looks at the present token alone.",
    needs=analyzer,
    table=table,
    draw=lines("position", "loss", "split", titles={"loss": "loss (nats)"}),
)
