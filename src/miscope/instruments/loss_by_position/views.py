"""What the context is worth, over training and along it."""

import numpy as np
import pandas as pd

from miscope.instruments.loss_by_position.measure import LossByPosition
from miscope.plugin import Artifact, Context, Table, joined, lines, once, over_steps, theme, view

GUESS = "best single guess"


@view(
    question="When does the network use its context?",
    reading="The in-context-learning score: the test loss at the last tenth of the positions minus that at the first "
    "tenth. At 0 the context does not help; the lower, the more it helps.",
    draw=lines("step", "score", titles={"score": "in-context-learning score (nats)"}),
)
def overview(losses: Artifact[LossByPosition], context: Context) -> Table:
    """One row per step; `score` in nats, below 0 where more context helps."""
    rows = pd.DataFrame({"step": losses.steps, "score": over_steps(losses, "score")[:, 0]})
    return Table(rows.dropna(ignore_index=True), marks={"no use of context": 0.0})


@view(
    question="At which positions can the network predict the next token?",
    reading="The mean loss at each position of the context. A curve that falls to the right uses earlier tokens; a "
    "flat curve uses only the current token. Grey: the best constant prediction, the same shares of answers for every "
    "input.",
    draw=lines("position", "loss", "split", titles={"loss": "loss (nats)"}),
)
def positions(losses: Artifact[LossByPosition], context: Context, step: int) -> Table:
    """One row per (split, position); `loss` in nats, beside that of the best guess at each position."""
    output = losses[step]
    curves = {"train": output.train_loss, "test": output.test_loss, GUESS: output.guess}
    parts = [pd.DataFrame({"position": output.position, "loss": values}).dropna() for values in curves.values()]
    top = max(_largest(losses), 1.05 * float(np.nanmax(output.guess, initial=0)))
    return Table(joined(parts, list(curves), "split"), limits={"loss": (0.0, top)}, colors={GUESS: theme.GREY})


@once
def _largest(losses: Artifact[LossByPosition]) -> float:
    """Of all steps, so that the axis stands still when they play."""
    return 1.05 * float(np.nanmax([losses.stack("train_loss"), losses.stack("test_loss")]))
