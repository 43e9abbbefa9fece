"""Shows how large weight matrices are over training, as a whole and in their strongest direction."""

import pandas as pd
from miscope.views.shared.tidy import joined

from miscope.analyzers.singular_values import SingularValues, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared.matrices import over_training
from miscope.views.shared.random_matrices import verdict


def table(values: Artifact[SingularValues], context: Context, *, heads_of: str = "") -> pd.DataFrame:
    """One row per (kind of norm, matrix, step); `norm` in the units of the weights, heads averaged."""
    fields = ("frobenius_norm", "spectral_norm")
    parts = [over_training(values, field, heads_of).rename(columns={field: "norm"}) for field in fields]
    found = joined(parts, ("Frobenius norm", "spectral norm"), "kind")
    found.attrs["null"] = verdict(values[values.steps[-1]], "spectral_norm", heads_of)
    return found


view = View(
    question="How large are the weight matrices, and their strongest direction?",
    reading="Above: the Frobenius norm, the size of the whole matrix; below: the spectral norm, its largest "
    "singular value. Weight decay shrinks what is not needed; a spectral norm close to the Frobenius norm is a "
    "matrix of one direction.",
    needs=analyzer,
    table=table,
    draw=lines("step", "norm", "matrix", "kind", labelled=True),
)
