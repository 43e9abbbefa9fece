"""Shows which frequencies of the input steer each head at one step."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.attention_patterns import AttentionPatterns, analyzer
from miscope.core import Artifact, Context, NotApplicable, View
from miscope.renderers import bars
from miscope.views.shared.heads import of_one_frequency


def table(patterns: Artifact[AttentionPatterns], context: Context, step: int, *, key: int = 0) -> pd.DataFrame:
    """One row per (head, frequency); `fraction` of the variance of the head's attention map at that frequency."""
    fractions = patterns[step].map_fraction
    if fractions is None:
        raise NotApplicable("Frequencies of attention maps need a probe that is the full grid of two input tokens.")
    layers, heads, _, n = fractions.shape
    panels = [f"layer {i}, head {j}" for i in range(layers) for j in range(heads)]
    found = long("fraction", fractions[:, :, key].reshape(-1, n), head=panels, frequency=np.arange(1, n + 1))
    found["is_large"] = found["fraction"] >= 0.1
    found.attrs |= {"limits": {"fraction": (0.0, 1.15)}, **of_one_frequency(fractions[:, :, key], len(patterns))}
    return found


view = View(
    question="Which frequencies steer each head?",
    reading="The share of the variance of a head's attention map at each frequency; those above 10 % are coloured "
    "and named. In a grokked network each head follows one frequency of its embedding.",
    needs=analyzer,
    table=table,
    draw=bars("frequency", "fraction", facet="head", emphasis="is_large", titles={"frequency": "frequency k"}),
)
