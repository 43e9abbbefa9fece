"""Shows where each head looks, on average over the inputs, at one step."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long, names_of_positions

from miscope.analyzers.attention_patterns import AttentionPatterns, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import heatmap
from miscope.views.shared import nulls
from miscope.views.shared.heads import MARGIN, even_attention


def table(patterns: Artifact[AttentionPatterns], context: Context, step: int) -> pd.DataFrame:
    """One row per (head, query, key); `attention` is the mean weight over the probe, in [0, 1], `std` its spread."""
    output = patterns[step]
    layers, heads, n, _ = output.mean.shape
    names = names_of_positions(context)[:n]
    panels = [f"layer {i}, head {j}" for i in range(layers) for j in range(heads)]
    found = long("attention", output.mean.reshape(-1, n, n), head=panels, query=names, key=names)
    found["std"] = np.asarray(output.std, dtype=np.float32).ravel()
    found.attrs |= {
        "limits": {"attention": (0.0, 1.0)},
        "null": nulls.against_untrained(
            "furthest that attention is from even",
            patterns,
            lambda output: np.abs(output.mean - even_attention(output.mean)).max(),
            step,
            margin=MARGIN,
        ),
    }
    return found


view = View(
    question="Where does each head look?",
    reading="Rows are the positions that look, columns those looked at; each row sums to 1. Cells above the "
    "diagonal are closed to a causal network.",
    needs=analyzer,
    table=table,
    draw=heatmap(
        "key", "query", "attention", "head", is_square=True,
        titles={"attention": "mean attention", "query": "from", "key": "to"},
    ),
)  # fmt: skip
