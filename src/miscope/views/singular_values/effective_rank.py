"""Shows the entropy-based count of directions of each weight matrix over training."""

import pandas as pd

from miscope.analyzers.singular_values import SingularValues, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared.matrices import over_training
from miscope.views.shared.random_matrices import verdict


def table(values: Artifact[SingularValues], context: Context, *, heads_of: str = "") -> pd.DataFrame:
    """One row per (matrix, step); `effective_rank` counts directions, from 1 to the matrix' rank.

    Attention heads are averaged; `heads_of` = `W_Q` shows the heads of that kind of matrix instead.
    """
    found = over_training(values, "effective_rank", heads_of)
    found.attrs["limits"] = {"effective_rank": (0.0, 1.05 * float(found["effective_rank"].max()))}
    found.attrs["null"] = verdict(values[values.steps[-1]], "effective_rank", heads_of)
    return found


view = View(
    question="What is the effective rank of each weight matrix?",
    reading="The exponential of the entropy of the normalised singular values, averaged over heads. It counts weak "
    "directions that the participation ratio hardly sees, and so falls later, at cleanup.",
    needs=analyzer,
    table=table,
    draw=lines("step", "effective_rank", "matrix", labelled=True),
)
