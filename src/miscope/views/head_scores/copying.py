"""Shows when heads come to raise the token that they look at."""

import pandas as pd

from miscope.analyzers.head_scores import HeadScores, analyzer
from miscope.core import Artifact, Context, NotApplicable, View
from miscope.renderers import lines
from miscope.views.tidy import long


def table(scores: Artifact[HeadScores], context: Context) -> pd.DataFrame:
    """One row per (head, step); `copying` in [-1, 1], from the weights alone."""
    first = scores[scores.steps[0]].copying
    if first is None:
        raise NotApplicable("The answers are not tokens of the input, or are fewer than 8, so copying says nothing.")
    layers, heads = first.shape
    names = [f"layer {i}, head {j}" for i in range(layers) for j in range(heads)]
    values = scores.stack("copying").reshape(len(scores), -1).T
    found = long("copying", values, head=names, step=scores.steps)
    found.attrs |= {"limits": {"copying": (-1.0, 1.0)}, "marks": {"random": 0.0}}
    return found


view = View(
    question="When do heads come to copy what they look at?",
    reading="1: attending to a token raises that token's own logit, for all tokens; -1: lowers it; random weights lie "
    "around 0. An induction head attends to the answer and copies it.",
    needs=analyzer,
    table=table,
    draw=lines("step", "copying", "head", titles={"copying": "copying score"}),
)
