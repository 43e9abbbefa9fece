"""Shows how the logit difference is spread over the inputs at one step."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import joined, long, once

from miscope.analyzers.logit_difference import LogitDifference, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import leads

SHARES = np.linspace(0, 1, 101)


def table(differences: Artifact[LogitDifference], context: Context, step: int) -> pd.DataFrame:
    """One row per (split, share of inputs): that share of the split's inputs lies at or below `difference`."""
    output = differences[step]
    is_train = np.asarray(output.is_train, dtype=bool)
    chosen = {name: part for name, part in (("train", is_train), ("test", ~is_train)) if part.any()}
    quantiles = [
        long("difference", np.quantile(output.difference[part], SHARES), inputs=SHARES) for part in chosen.values()
    ]
    found = joined(quantiles, tuple(chosen), "split")
    found.attrs |= {
        "limits": {"difference": _range(differences)},
        "marks": {"chance": 0.0},
        "null": leads.of_share(output, context, len(differences)),
    }
    return found


@once
def _range(differences: Artifact[LogitDifference]) -> tuple[float, float]:
    """The least and the largest difference over training, and some room."""
    ends = [(float(output.difference.min()), float(output.difference.max())) for output in differences.values()]
    low, high = min(0.0, *(low for low, _ in ends)), max(0.0, *(high for _, high in ends))
    room = 0.05 * (high - low) or 1.0
    return low - room, high + room


view = View(
    question="On how many inputs does the right answer lead, and by how much?",
    reading="Inputs in order of their logit difference, the least at the left. Where the curve crosses 0 is the share "
    "of inputs on which the distractor leads; a jump parts inputs that the network treats differently.",
    needs=analyzer,
    table=table,
    draw=lines("inputs", "difference", "split", titles={"inputs": "share of inputs", "difference": "logit difference"}),
)
