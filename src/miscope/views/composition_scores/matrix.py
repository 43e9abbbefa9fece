"""Shows how much every head reads of every earlier one, at one step."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long, once

from miscope.analyzers.composition_scores import KINDS, CompositionScores, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import DIVERGING, heatmap
from miscope.views.shared.heads import of_composition


def table(scores: Artifact[CompositionScores], context: Context, step: int) -> pd.DataFrame:
    """One row per (kind, earlier head, later head); `excess` is the score above chance."""
    output = scores[step]
    kinds, layers, heads = output.score.shape[:3]
    names = [f"{layer}.{head}" for layer in range(layers) for head in range(heads)]
    excess = (output.score - output.chance).reshape(kinds, len(names), len(names))
    found = long("excess", excess, kind=[f"{kind}-composition" for kind in KINDS], earlier=names, later=names)
    largest = _largest(scores)
    found.attrs |= {
        "limits": {"excess": (-largest, largest)},
        "note": f"chance is {output.chance:.3f}",
        "null": of_composition(output, len(scores)),
    }
    return found


@once
def _largest(scores: Artifact[CompositionScores]) -> float:
    """The furthest that any pair gets from chance over training: a colour scale that does not jump."""
    return max(float(np.nanmax(np.abs(output.score - output.chance), initial=1e-6)) for output in scores.values())


view = View(
    question="How much does each head read of what an earlier head writes?",
    reading="Rows are the heads that write, columns those that read it as their query, key or value. White is what "
    "random heads would score, red more, blue less: a reader that avoids the writer.",
    needs=analyzer,
    table=table,
    draw=heatmap(
        "later", "earlier", "excess", "kind", colorscale=DIVERGING, is_square=True, columns=3,
        titles={"excess": "score above chance", "later": "read by", "earlier": "written by"},
    ),
)  # fmt: skip
