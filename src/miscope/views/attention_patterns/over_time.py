"""Shows how the attention from the answer position shifts over training."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long, names_of_positions

from miscope.analyzers.attention_patterns import AttentionPatterns, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import nulls
from miscope.views.shared.heads import MARGIN, even_attention


def table(patterns: Artifact[AttentionPatterns], context: Context) -> pd.DataFrame:
    """One row per (head, key, step); `attention` from the answer position, mean over the probe, in [0, 1]."""
    means = np.stack([output.mean[:, :, context.answer_position] for output in patterns.values()], axis=-1)
    layers, heads, keys, n = means.shape
    panels = [f"layer {i}, head {j}" for i in range(layers) for j in range(heads)]
    names = [f"to {name}" for name in names_of_positions(context)[:keys]]
    found = long("attention", means.reshape(-1, keys, n), head=panels, key=names, step=patterns.steps)
    output = patterns[patterns.steps[-1]]
    found.attrs |= {
        "limits": {"attention": (0.0, 1.0)},
        "note": f"even attention is {even_attention(output.mean)[context.answer_position].max():.3g}",
        "null": nulls.against_untrained(
            "furthest that attention is from even",
            patterns,
            lambda output: np.abs(output.mean - even_attention(output.mean))[:, :, context.answer_position].max(),
            margin=MARGIN,
        ),
    }
    return found


view = View(
    question="How does attention from the answer position shift over training?",
    reading="One panel per head, one curve per position that it looks at. Curves that part mean that the head has "
    "chosen.",
    needs=analyzer,
    table=table,
    draw=lines("step", "attention", "key", "head", columns=2),
)
