"""Shows the loss along the context, at one step."""

from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from miscope.views.shared.guessing import entropy, judged
from miscope.views.shared.tidy import joined, once

from miscope.analyzers.loss_by_position import LossByPosition, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines, theme
from miscope.views.shared import nulls

GUESS = "best single guess"


def table(losses: Artifact[LossByPosition], context: Context, step: int) -> pd.DataFrame:
    """One row per (split, position); `loss` in nats, beside that of the best guess at each position."""
    found = losses[step]
    split, values = ("train", found.train_loss) if context.probe.is_train.all() else ("test", found.test_loss)
    guess = _guess(context, found.position)
    parts = [pd.DataFrame({"position": found.position, "loss": y}) for y in (found.train_loss, found.test_loss, guess)]
    table = joined([part.dropna() for part in parts], ["train", "test", GUESS], "split")
    best = int(np.nanargmin(values - np.nan_to_num(guess)))
    table.attrs |= {
        "limits": {"loss": (0.0, max(_largest(losses), 1.05 * float(np.nanmax(guess, initial=0))))},
        "tones": {GUESS: theme.GREY},
        "null": nulls.against(
            f"{split} loss at position {found.position[best]}",
            float(values[best]),
            float(guess[best]),
            "the best single guess there",
            is_lower=True,
        ),
    }
    return table


def _guess(context: Context, position: Int[np.ndarray, " asked"]) -> Float[np.ndarray, " asked"]:
    """The least loss of one answer's shares for all inputs: the entropy of what is right there; NaN: none is asked."""
    probe, found = context.probe, np.full(len(position), np.nan)
    if probe.following is None:
        return found
    for i, right in enumerate(probe.following[:, position].T):
        asked = judged(probe)[1] & (right >= 0)
        found[i] = entropy(replace(probe, targets=right), asked) if asked.any() else np.nan
    return found


@once
def _largest(losses: Artifact[LossByPosition]) -> float:
    """Of all steps, so that the axis stands still when they play."""
    return 1.05 * float(np.nanmax([losses.stack("train_loss"), losses.stack("test_loss")]))


view = View(
    question="At which positions does the network know what comes next?",
    reading="Mean loss at each position of the context. A curve that falls to the right reads what came before; a flat "
    "one looks at the present token alone. Grey: the same shares of answers for every input.",
    needs=analyzer,
    table=table,
    draw=lines("position", "loss", "split", titles={"loss": "loss (nats)"}),
)
