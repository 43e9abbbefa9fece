"""Shows how many inputs have graduated, those that the network trains on told apart from the rest."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.renderers import lines
from miscope.trackers.graduation import Graduation, analyzer
from miscope.views.shared import guessing


def table(graduation: Graduation, context: Context) -> pd.DataFrame:
    """One row per (split, step); `share` of the split's inputs that have graduated. An empty split has no row."""
    has_graduated = graduation.graduation_step <= graduation.steps[:, None]  # [step input]
    splits = {"train": graduation.is_train, "test": ~graduation.is_train}
    shares = {name: has_graduated[:, chosen].mean(axis=1) for name, chosen in splits.items() if chosen.any()}
    found = long("share", np.stack(list(shares.values())), split=list(shares), step=graduation.steps)
    found.attrs |= {
        "limits": {"share": (0.0, 1.03)},
        "null": guessing.of_accuracy(context, graduation.has_lasted, "{} inputs graduated and right at the end"),
    }
    return found


view = View(
    question="How many inputs has the network learned for good?",
    reading="The share of inputs that have graduated. It rises at the first of the checkpoints that count, so it rests "
    "before the end of training; the gap between the curves is what is memorised and not yet worked out.",
    needs=analyzer,
    table=table,
    draw=lines("step", "share", "split", titles={"share": "share of inputs graduated"}),
)
