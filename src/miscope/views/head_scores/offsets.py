"""Shows how far back each head looks at one step, whatever the tokens are."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import highest, long

from miscope.analyzers.head_scores import HeadScores, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import heatmap
from miscope.views.shared import nulls
from miscope.views.shared.heads import MARGIN


def table(scores: Artifact[HeadScores], context: Context, step: int) -> pd.DataFrame:
    """One row per (head, offset); `attention` in [0, 1], mean over the probe and the positions that have one there."""
    output = scores[step]
    layers, heads, n = output.offset_score.shape
    names = ["even attention", *(f"layer {i}, head {j}" for i in range(layers) for j in range(heads))]
    values = np.concatenate([output.offset_chance[None], output.offset_score.reshape(-1, n)])
    found = long("attention", values, head=names, offset=output.offset)
    found.attrs |= {
        "limits": {"attention": (0.0, highest(scores, "offset_score"))},
        "null": nulls.against_untrained(
            "furthest that attention to one offset is from even",
            scores,
            lambda output: np.abs(output.offset_score - output.offset_chance).max(),
            step,
            margin=MARGIN,
        ),
    }
    return found


view = View(
    question="How far back does each head look?",
    reading="Attention to the position so many places back; 0 is the position itself. A bright cell is a head that "
    "looks by position: at 1 a previous-token head, farther back a head that counts and does not read tokens.",
    needs=analyzer,
    table=table,
    draw=heatmap("offset", "head", "attention", titles={"offset": "positions back", "head": " "}),
)
