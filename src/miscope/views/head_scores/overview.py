"""Shows when previous-token heads and induction heads form."""

import numpy as np
import pandas as pd

from miscope.analyzers.head_scores import HeadScores, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines, theme
from miscope.views.tidy import long

EVEN = "even attention"


def table(scores: Artifact[HeadScores], context: Context) -> pd.DataFrame:
    """One row per (score, head, step); `attention` in [0, 1], beside what even attention gives on this probe.

    Where no token occurs twice in any input, prefix matching has no rows.
    """
    first = scores[scores.steps[0]]
    layers, heads = first.previous_token.shape
    curves = {"to the previous token": (scores.stack("previous_token"), first.neighbour_chance)}
    if first.repeat_chance is not None:
        found = scores.stack("prefix_matching")
        curves["to what followed the same token before (prefix matching)"] = (found, first.repeat_chance)
    values = [np.c_[np.full(len(found), chance), found.reshape(len(found), -1)].T for found, chance in curves.values()]
    names = [EVEN, *(f"layer {i}, head {j}" for i in range(layers) for j in range(heads))]
    rows = long("attention", np.stack(values), score=list(curves), head=names, step=scores.steps)
    rows.attrs |= {"limits": {"attention": (0.0, 1.0)}, "tones": {EVEN: theme.GREY}}
    rows.attrs["note"] = f"{first.n_repeats:,} repeated tokens in the probe"
    return rows


view = View(
    question="When do previous-token heads and induction heads form?",
    reading="Attention of each head, mean over the probe. An induction circuit is one head of an early layer that "
    "leaves the grey line of even attention above, and one of a later layer that leaves it below, together.",
    needs=analyzer,
    table=table,
    draw=lines("step", "attention", "head", "score"),
)
