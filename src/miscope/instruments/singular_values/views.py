"""How many directions weight matrices use, and how large they are."""

import numpy as np
import pandas as pd

from miscope.instruments._shared.curves import from_zero
from miscope.instruments.singular_values.measure import SingularValues, shown
from miscope.plugin import Artifact, Context, Null, Table, highest, joined, lines, long, theme, view

Values = Artifact[SingularValues]


@view(
    question="How many directions does each weight matrix use?",
    reading="The participation ratio of the singular values, averaged over heads. It falls when a matrix drops "
    "directions: after the onset of grokking W_E keeps about two for each key frequency. The option `heads_of` shows "
    "single heads.",
    draw=lines("step", "participation_ratio", "matrix", labelled=True),
)
def overview(values: Values, context: Context, *, heads_of: str = "") -> Table:
    """One row per (matrix, step); `participation_ratio` counts directions; the mean of heads, or each of one kind."""
    return from_zero("participation_ratio", _over_training(values, "participation_ratio", heads_of))


@view(
    question="What is the effective rank of each weight matrix?",
    reading="The exponential of the entropy of the normalised singular values, averaged over heads. It counts weak "
    "directions more than the participation ratio does, and so falls later, during cleanup.",
    draw=lines("step", "effective_rank", "matrix", labelled=True),
)
def effective_rank(values: Values, context: Context, *, heads_of: str = "") -> Table:
    """One row per (matrix, step); `effective_rank` counts directions; the mean of heads, or each of one kind."""
    return from_zero("effective_rank", _over_training(values, "effective_rank", heads_of))


@view(
    question="How large are the weight matrices and their strongest directions?",
    reading="Top: the Frobenius norm, the size of the whole matrix. Bottom: the spectral norm, its largest singular "
    "value. Weight decay shrinks what the loss does not need. If both norms are almost equal, the matrix has one "
    "direction.",
    draw=lines("step", "norm", "matrix", "kind", labelled=True),
)
def norms(values: Values, context: Context, *, heads_of: str = "") -> Table:
    """One row per (kind of norm, matrix, step); `norm` in the units of the weights, heads averaged."""
    parts = [_over_training(values, field, heads_of, "norm") for field in ("frobenius_norm", "spectral_norm")]
    return Table(joined(parts, ("Frobenius norm", "spectral norm"), "kind"))


@view(
    question="How fast do the singular values of each weight matrix fall?",
    reading="Singular values from the largest to the smallest, averaged over heads. A steep fall after few values is a "
    "matrix that uses few directions. Grey: a random matrix of the same shape and size.",
    draw=lines("rank", "singular_value", "matrix"),
)
def spectrum(values: Values, context: Context, step: int, null: Null, *, heads_of: str = "") -> Table:
    """One row per (matrix, rank), heads averaged; beside them a random one of the size of that which the null names."""
    output, random = values[step], f"random {null.about}"
    matrices = shown(output.matrix, heads_of)
    curves = {label: output.value[at].mean(axis=0) for label, at in matrices.items()}
    if null.about:
        at = matrices[null.about]
        curves[random] = output.random_value[output.random_of[at[0]]] * output.frobenius_norm[at].mean()
    ranks = np.arange(1, output.value.shape[1] + 1)
    rows = long("singular_value", np.stack(list(curves.values())), matrix=list(curves), rank=ranks)
    limits = {"singular_value": (0.0, 1.05 * highest(values, "spectral_norm"))}
    return Table(rows, limits=limits, colors={random: theme.GREY})


def _over_training(values: Values, field: str, heads_of: str, name: str = "") -> pd.DataFrame:
    """One row per (matrix, step) of a number per matrix; heads averaged, or the heads of the kind `heads_of` alone."""
    numbers, matrices = values.stack(field), shown(values.last.matrix, heads_of)
    means = np.stack([numbers[:, at].mean(axis=1) for at in matrices.values()])
    return long(name or field, means, matrix=list(matrices), step=values.steps)
