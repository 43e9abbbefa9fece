"""Shows the singular values of each weight matrix at one step."""

import numpy as np
import pandas as pd

from miscope.analyzers.singular_values import SingularValues, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.matrices import head_labels, kinds
from miscope.views.tidy import highest, long


def table(values: Artifact[SingularValues], context: Context, step: int, *, heads_of: str = "") -> pd.DataFrame:
    """One row per (matrix, rank); `singular_value` in the units of the weights, rank from 1, heads averaged by rank."""
    output = values[step]
    of = kinds(output.matrix)
    labels = head_labels(output.matrix, of, heads_of) if heads_of else of
    shown = list(dict.fromkeys(label for label in labels if label))
    means = np.stack([output.value[[label == s for label in labels]].mean(axis=0) for s in shown])
    found = long("singular_value", means, matrix=shown, rank=np.arange(1, means.shape[1] + 1))
    found.attrs["limits"] = {"singular_value": (0.0, 1.05 * highest(values, "spectral_norm"))}
    return found


view = View(
    question="How do the singular values of each weight matrix fall off?",
    reading="Singular values from the largest down, averaged over heads. A cliff after few values is a matrix that "
    "uses few directions; an even slope is a random one.",
    needs=analyzer,
    table=table,
    draw=lines("rank", "singular_value", "matrix"),
)
