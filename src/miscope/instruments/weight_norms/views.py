"""How large the weights are, and how far they are from where they began."""

import numpy as np
import pandas as pd

from miscope.instruments._shared.curves import from_zero
from miscope.instruments.weight_norms.measure import WeightNorms, weight_matrices
from miscope.plugin import Context, MiscopeError, Table, joined, lines, long, theme, view

DISTANCE, WALK = "distance from initialisation", "random walk with the same step lengths"


@view(
    question="How large are the weights, and how far have they moved?",
    reading="The norm of all weights, and the L2 norm of their change since the first checkpoint. A falling norm is "
    "weight decay. If the distance grows faster while the loss is flat, that is progress that the loss does not show. "
    "Grey: the distance if the changes between checkpoints were independent; weight decay also leads further than "
    "that.",
    draw=lines("step", "size", "measure", titles={"size": "L2 norm"}),
)
def overview(norms: WeightNorms, context: Context) -> Table:
    """One row per (measure, step); `size` is an L2 norm over all weights."""
    sizes = np.stack([norms.norm[0], norms.distance[0], norms.walk[0]])
    rows = long("size", sizes, measure=("norm", DISTANCE, WALK), step=norms.steps)
    return from_zero("size", rows, colors={WALK: theme.GREY})


@view(
    question="Which matrices grow, and which ones move?",
    reading="Top: the Frobenius norm of each matrix. Bottom: the L2 norm of its change since the first checkpoint. A "
    "matrix can move far without growing, by turning.",
    draw=lines("step", "size", "matrix", "measure", titles={"size": "L2 norm"}, labelled=True),
)
def by_matrix(norms: WeightNorms, context: Context) -> Table:
    """One row per (measure, matrix, step); `size` is an L2 norm. Biases and norms' scales are in the total alone."""
    parts = [_of_matrices("size", norms, values) for values in (norms.norm, norms.distance)]
    return from_zero("size", joined(parts, ("norm", DISTANCE), "measure"))


@view(
    question="How far has the single weight moved that changed most?",
    reading="The largest change of any one weight of each matrix since the first checkpoint. On a plateau of the loss, "
    "curves that rise above the others are matrices that have found the signal.",
    draw=lines("step", "largest_change", "matrix", titles={"largest_change": "largest change"}, labelled=True),
)
def distance(norms: WeightNorms, context: Context) -> Table:
    """One row per (matrix, step); `largest_change` since the first checkpoint, in units of weights (rho)."""
    return from_zero("largest_change", _of_matrices("largest_change", norms, norms.largest_change))


def _of_matrices(name: str, norms: WeightNorms, values: np.ndarray) -> pd.DataFrame:
    """One row per (matrix, step) of [matrix step]; biases and the scales of norms are left out."""
    matrices = weight_matrices(norms)
    if not matrices:
        raise MiscopeError(f"There is no weight matrix among {', '.join(norms.matrix)}.")
    return long(name, values[list(matrices.values())], matrix=list(matrices), step=norms.steps)
