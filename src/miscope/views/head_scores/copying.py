"""Shows when heads come to raise the token that they look at."""

import numpy as np
import pandas as pd
from miscope.views.shared.guessing import deviates
from miscope.views.shared.tidy import long

from miscope.analyzers.head_scores import HeadScores, analyzer
from miscope.core import Artifact, Context, NotApplicable, View
from miscope.renderers import lines
from miscope.views.shared import nulls


def table(scores: Artifact[HeadScores], context: Context) -> pd.DataFrame:
    """One row per (head, step); `copying` in [-1, 1], from the weights alone."""
    last = scores[scores.steps[-1]]
    if last.copying is None or last.copying_std is None:
        raise NotApplicable("The answers are not tokens of the input, or are fewer than 8, so copying says nothing.")
    layers, heads = last.copying.shape
    random = min(1.0, float(last.copying_std.max()) * deviates(layers * heads))
    names = [f"layer {i}, head {j}" for i in range(layers) for j in range(heads)]
    values = scores.stack("copying").reshape(len(scores), -1).T
    found = long("copying", values, head=names, step=scores.steps)
    found.attrs |= {
        "limits": {"copying": (-1.02, 1.02)},
        "marks": {"random": 0.0, "random, 99 %": random},
        "null": nulls.against(
            "largest copying score",
            float(np.nanmax(last.copying, initial=-1)),
            random,
            "99 % of random heads between the same embeddings",
        ),
    }
    return found


view = View(
    question="When do heads come to copy what they look at?",
    reading="1: attending to a token raises that token's own logit, for all tokens; -1: lowers it. Random heads lie "
    "around 0, the wider the fewer directions the embeddings share. An induction head attends to the answer and "
    "copies it.",
    needs=analyzer,
    table=table,
    draw=lines("step", "copying", "head", titles={"copying": "copying score"}),
)
