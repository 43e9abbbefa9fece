"""Shows when weight matrices give up directions: the participation ratio of their singular values over training."""

import pandas as pd

from miscope.analyzers.singular_values import SingularValues, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared.matrices import over_training
from miscope.views.shared.random_matrices import verdict


def table(values: Artifact[SingularValues], context: Context, *, heads_of: str = "") -> pd.DataFrame:
    """One row per (matrix, step); `participation_ratio` counts directions, from 1 to the matrix' rank.

    Attention heads are averaged; `heads_of` = `W_Q` shows the heads of that kind of matrix instead.
    """
    found = over_training(values, "participation_ratio", heads_of)
    found.attrs["limits"] = {"participation_ratio": (0.0, 1.05 * float(found["participation_ratio"].max()))}
    found.attrs["null"] = verdict(values[values.steps[-1]], "participation_ratio", heads_of)
    return found


view = View(
    question="How many directions does each weight matrix use?",
    reading="The participation ratio of the singular values, averaged over heads. It falls when a matrix drops "
    "directions: after the onset of grokking W_E keeps about two for each key frequency. Heads of one kind: the "
    "option `heads_of`.",
    needs=analyzer,
    table=table,
    draw=lines("step", "participation_ratio", "matrix", labelled=True),
)
