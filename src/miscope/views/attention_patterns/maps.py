"""Shows how the attention from the answer position depends on the input, at one step.

Source: the maps are those of Nanda et al. 2023, arXiv:2301.05217, section 4.2 (attention as a function of a and b).
"""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long, names_of_positions, probe_axes

from miscope.analyzers.attention_patterns import AttentionPatterns, analyzer
from miscope.core import Artifact, Context, MiscopeError, View
from miscope.renderers import heatmap
from miscope.views.shared import nulls
from miscope.views.shared.heads import MARGIN


def table(patterns: Artifact[AttentionPatterns], context: Context, step: int, *, key: int = 0) -> pd.DataFrame:
    """One row per (head, probe input); `attention` from the answer position to the position `key`, in [0, 1]."""
    answer = patterns[step].answer_pattern
    layers, heads, keys, batch = answer.shape
    if not 0 <= key < keys:
        raise MiscopeError(f"`key` = {key}; allowed: a position from 0 to {keys - 1}.")
    panels = [f"layer {i}, head {j}" for i in range(layers) for j in range(heads)]
    axes, titles = probe_axes(context)
    found = long("attention", answer[:, :, key].reshape(-1, batch), head=panels, input=np.arange(batch, dtype=np.int32))
    found = found.assign(**{axis: np.tile(values, len(panels)) for axis, values in axes.items()})
    names = names_of_positions(context)
    found.attrs |= {
        "titles": titles,
        "limits": {"attention": (0.0, 1.0)},
        "note": f"from {names[context.answer_position]} to {names[key]}",
        "null": nulls.against_untrained(
            "largest standard deviation of a head's attention over the inputs",
            patterns,
            lambda output: output.std[:, :, context.answer_position, key].max(),
            step,
            margin=MARGIN,
        ),
    }
    return found


view = View(
    question="How does a head's attention depend on the input?",
    reading="Each panel is a head: the weight that the answer position gives to one other position, over all "
    "inputs. Stripes say that the head looks by the value of a single token.",
    needs=analyzer,
    table=table,
    draw=heatmap("b", "a", "attention", "head", is_square=True, columns=2, height=430),
)
