"""Shows the singular values of each weight matrix at one step."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import highest, long

from miscope.analyzers.singular_values import SingularValues, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines, theme
from miscope.views.shared.matrices import labels_of
from miscope.views.shared.random_matrices import furthest, random_spectrum, verdict


def table(values: Artifact[SingularValues], context: Context, step: int, *, heads_of: str = "") -> pd.DataFrame:
    """One row per (matrix, rank); `singular_value` in the units of the weights, rank from 1, heads averaged by rank.

    Beside them a random matrix of the shape and Frobenius norm of the one that is least like it.
    """
    output = values[step]
    labels = labels_of(output.matrix, heads_of)
    shown = list(dict.fromkeys(label for label in labels if label))
    curves = {s: output.value[[label == s for label in labels]].mean(axis=0) for s in shown}
    judged = furthest(output, "participation_ratio", heads_of, looks=len(values))
    null = f"random {judged.matrix}" if judged else ""
    if judged:
        curves[null] = random_spectrum(output, judged.matrix, heads_of)
    ranks = np.arange(1, output.value.shape[1] + 1)
    found = long("singular_value", np.stack(list(curves.values())), matrix=list(curves), rank=ranks)
    found.attrs |= {
        "limits": {"singular_value": (0.0, 1.05 * highest(values, "spectral_norm"))},
        "tones": {null: theme.GREY},
        "null": verdict(output, "participation_ratio", heads_of, looks=len(values)),
    }
    return found


view = View(
    question="How do the singular values of each weight matrix fall off?",
    reading="Singular values from the largest down, averaged over heads. A cliff after few values is a matrix that "
    "uses few directions. Grey: the even slope of a random matrix of the same shape and size.",
    needs=analyzer,
    table=table,
    draw=lines("rank", "singular_value", "matrix"),
)
