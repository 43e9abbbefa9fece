"""Shows when previous-token heads and induction heads form."""

import numpy as np
import pandas as pd
from jaxtyping import Float
from miscope.views.shared.tidy import long

from miscope.analyzers.head_scores import HeadScores, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines, theme
from miscope.views.shared import nulls
from miscope.views.shared.heads import MARGIN

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
    rows.attrs |= {
        "limits": {"attention": (0.0, 1.0)},
        "tones": {EVEN: theme.GREY},
        "note": f"{first.n_repeats:,} repeated tokens in the probe",
        "null": _verdict(scores),
    }
    return rows


def _verdict(scores: Artifact[HeadScores]) -> str:
    """How far the best head of either kind is above even attention, by how far untrained ones are from it."""
    if scores.steps[0] != 0:
        return nulls.none(nulls.NO_START)
    first, last = (_above(scores[step]) for step in (0, scores.steps[-1]))
    null, source = MARGIN * np.abs(first).max(), f"the untrained network with a margin of {MARGIN:g}"
    return nulls.against("largest rise above even attention", last.max(), null, source)


def _above(output: HeadScores) -> Float[np.ndarray, " score"]:
    found = [output.previous_token - output.neighbour_chance]
    if output.prefix_matching is not None and output.repeat_chance is not None:
        found.append(output.prefix_matching - output.repeat_chance)
    return np.concatenate(found, axis=None)


view = View(
    question="When do previous-token heads and induction heads form?",
    reading="Attention of each head, mean over the probe. An induction circuit is one head of an early layer that "
    "leaves the grey line of even attention above, and one of a later layer that leaves it below, together.",
    needs=analyzer,
    table=table,
    draw=lines("step", "attention", "head", "score"),
)
